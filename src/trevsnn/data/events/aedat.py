"""Readers for the address-event formats of the recordings of CIFAR10-DVS (AEDAT 2.0) and DVS128 Gesture (AEDAT 3.1).

AEDAT 2.0, after lines that begin with #: records of 8 bytes, big-endian, an address and a time stamp (32 bits each,
microseconds). The DVS128's address holds the polarity in bit 0 (0 for ON), x in bits 1 to 7 and y in bits 8 to 14;
bit 15 marks what is no event of a pixel.

AEDAT 3.1, after lines that begin with #, the last being #!END-HEADER: packets, little-endian, of a header of 28 bytes
and events of one type. A polarity event (type 1) has 8 bytes: bit 0 valid, bit 1 polarity (1 for ON), bits 2 to 16 y,
bits 17 to 31 x, then the time stamp (microseconds), whose overflows the packet's header counts.

Source: inivation, AEDAT file formats.
"""

from pathlib import Path

import numpy as np

from trevsnn.data.events.recording import Events

_RECORD = np.dtype([("address", ">u4"), ("time", ">u4")])
_NO_PIXEL = 0x8000
_PACKET = np.dtype(
    [
        ("type", "<i2"),
        ("source", "<i2"),
        ("size", "<i4"),
        ("time_offset", "<i4"),
        ("time_overflows", "<i4"),
        ("capacity", "<i4"),
        ("number", "<i4"),
        ("valid", "<i4"),
    ]
)
_POLARITY = 1
_END_OF_HEADER = b"#!END-HEADER"


def read_aedat(path: Path, cut_off: bool = False) -> Events:
    """The events of an AEDAT 2.0 or 3.1 file, x and y as the sensor counts them.

    Args:
        path: the file.
        cut_off: take what a file holds that ends within an event or a packet; else it is refused.

    Raises:
        ValueError: when it is of another version, cut off or damaged.
    """
    content = path.read_bytes()
    version, start = _header(content, path)
    events, missing = (_read_2 if version == "2" else _read_3)(content, start, path)
    if missing and not cut_off:
        raise ValueError(f"{str(path)!r} is cut off: {missing} bytes are missing at its end, or more")
    return events


def _header(content: bytes, path: Path) -> tuple[str, int]:
    """The first digit of the version, and where the data begin."""
    first = content.split(b"\n", 1)[0].strip()
    if not first.startswith(b"#!AER-DAT"):
        raise ValueError(f"{str(path)!r} is no AEDAT file: it does not begin with #!AER-DAT")
    version = first.removeprefix(b"#!AER-DAT").decode("ascii", "replace")
    if version[:1] not in ("2", "3"):
        raise ValueError(
            f"{str(path)!r} is of AEDAT {version}; only 2.0 and 3.1 can be read (4.0 with `aedat` installed)"
        )
    position = 0
    while content.startswith(b"#", position):
        end = content.find(b"\n", position)
        if end < 0:
            raise ValueError(f"{str(path)!r} is cut off in its header")
        line, position = content[position:end], end + 1
        if line.startswith(_END_OF_HEADER):
            break
    return version[0], position


def _read_2(content: bytes, start: int, path: Path) -> tuple[Events, int]:
    """The events, and how many bytes are missing."""
    records = np.frombuffer(content, _RECORD, count=(len(content) - start) // _RECORD.itemsize, offset=start)
    address = records["address"]
    if (address >> 16).any():
        raise ValueError(f"{str(path)!r} has addresses of more than 16 bits: it is not of a DVS128")
    pixels = (address & _NO_PIXEL) == 0
    address = address[pixels]
    events = Events(records["time"][pixels], address >> 1 & 0x7F, address >> 8 & 0x7F, 1 - (address & 1))
    return events, (start - len(content)) % _RECORD.itemsize


def _read_3(content: bytes, start: int, path: Path) -> tuple[Events, int]:
    """The events, and how many bytes are missing."""
    parts, missing = [], 0
    while start + _PACKET.itemsize <= len(content):
        packet = np.frombuffer(content, _PACKET, count=1, offset=start)[0]
        start += _PACKET.itemsize
        size, number = int(packet["size"]), int(packet["number"])
        if size < 1 or number < 0 or packet["capacity"] < number or (packet["type"] == _POLARITY and size != 8):
            raise ValueError(f"{str(path)!r} is damaged: byte {start - _PACKET.itemsize} does not begin a packet")
        whole = min(number, (len(content) - start) // size)
        missing = max(0, start + number * size - len(content))
        if packet["type"] == _POLARITY:
            words = np.frombuffer(content, "<u4", count=2 * whole, offset=start).reshape(-1, 2)
            valid = words[:, 0] & 1 == 1
            data, time = words[valid, 0], words[valid, 1].astype(np.int64)
            time += int(packet["time_overflows"]) << 31
            parts.append((time, data >> 17 & 0x7FFF, data >> 2 & 0x7FFF, data >> 1 & 1))
        start += size * int(packet["capacity"])
    if start < len(content):
        missing = start + _PACKET.itemsize - len(content)
    if not parts:
        return Events(*np.empty((4, 0), int)), missing
    return Events(*(np.concatenate(columns) for columns in zip(*parts, strict=True))), missing
