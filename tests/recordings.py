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
