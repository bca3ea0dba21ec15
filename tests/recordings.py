"""Files of recordings, put together byte by byte as their formats say."""

import struct

HEADER_2 = (
    b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n# Data format is int32 address, int32 timestamp\r\n"
)
HEADER_3 = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#Start-Time: 2016-01-01 00:00:00\r\n#!END-HEADER\r\n"


def event_2(x, y, on, time, other=0):
    """A record of AEDAT 2.0: address and time, big-endian; polarity bit 0 is 0 for ON."""
    return struct.pack(">II", other << 15 | y << 8 | x << 1 | (0 if on else 1), time)


def event_3(x, y, on, time, valid=1):
    """A polarity event of AEDAT 3.1, little-endian."""
    return struct.pack("<II", x << 17 | y << 2 | on << 1 | valid, time)


def packet_3(events, kind=1, overflows=0, capacity=None, size=8):
    """A packet of AEDAT 3.1 whose capacity may be larger than its number of events."""
    capacity = len(events) if capacity is None else capacity
    header = struct.pack("<hhiiiiii", kind, 1, size, 4, overflows, capacity, len(events), len(events))
    return header + b"".join(events) + bytes(size * (capacity - len(events)))


def event_atis(x, y, on, time):
    """An event of N-MNIST."""
    return bytes([x, y, on << 7 | time >> 16, time >> 8 & 0xFF, time & 0xFF])


def write_cifar10dvs(root, classes, count):
    """Class folders of AEDAT 2.0."""
    for name in classes:
        (root / name).mkdir(parents=True)
        for number in range(count):
            events = [event_2((7 * i + number) % 128, i // 30 % 128, i // 5 % 2, 100 * i) for i in range(3000)]
            (root / name / f"cifar10_{name}_{number}.aedat").write_bytes(HEADER_2 + b"".join(events))


def write_gestures(root, trials):
    """AEDAT 3.1 with labels, a recording to train on and one to test on, of as many trials of 0.1 s each."""
    root.mkdir(parents=True, exist_ok=True)
    for split, user in (("train", "user01_led"), ("test", "user29_led")):
        events = [event_3(t // 7 % 128, t // 900 % 128, t // 90 % 2, t) for t in range(0, trials * 100_000, 30)]
        (root / f"{user}.aedat").write_bytes(HEADER_3 + packet_3(events))
        rows = [f"{1 + i % 11},{i * 100_000},{(i + 1) * 100_000}" for i in range(trials)]
        (root / f"{user}_labels.csv").write_text("\n".join(["class,startTime_usec,endTime_usec", *rows]) + "\n")
        (root / f"trials_to_{split}.txt").write_text(f"{user}.aedat\n")


def write_nmnist(root, count):
    """Train and Test, a folder per digit."""
    for split in ("Train", "Test"):
        for digit in range(10):
            folder = root / split / str(digit)
            folder.mkdir(parents=True)
            for number in range(count):
                events = [event_atis((digit + 3 * i) % 34, i // 60 % 34, i // 5 % 2, 100 * i) for i in range(2000)]
                (folder / f"{number:05d}.bin").write_bytes(b"".join(events))
