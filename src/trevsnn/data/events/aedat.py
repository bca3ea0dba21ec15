"""Readers for the address-event formats of jAER (AEDAT 1.0 and 2.0) and cAER (AEDAT 3.0 and 3.1): CIFAR10-DVS has 2.0,
DVS128 Gesture 3.1.

AEDAT 2.0, after lines that begin with #: records of 8 bytes, big-endian, an address and a time stamp (32 bits each,
microseconds). The DVS128's address holds the polarity in bit 0 (0 for ON), x in bits 1 to 7 and y in bits 8 to 14;
bit 15 marks what is not an event of a pixel. AEDAT 1.0: the same with addresses of 16 bits.

AEDAT 3.1, after lines that begin with #, the last being #!END-HEADER: packets, little-endian, of a header of 28 bytes
and events of one type from one source. A polarity event (type 1) has 8 bytes: bit 0 valid, bit 1 polarity (1 for ON),
bits 2 to 16 y, bits 17 to 31 x, then the time stamp (microseconds), whose overflows the packet's header counts.

Source: inivation, AEDAT file formats.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from trevsnn.data.events.ordering import Columns
from trevsnn.data.events.reading import AS_IT_STANDS, Reading, choose_camera
from trevsnn.data.events.recording import BLOCK, Events

_RECORDS = {
    "1.0": np.dtype([("address", ">u2"), ("time", ">u4")]),
    "2.0": np.dtype([("address", ">u4"), ("time", ">u4")]),
}
_PACKETS = ("3.0", "3.1")
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
_LONGEST_LINE = 2**20
_CONTROL = re.compile(rb"[^\t\n\r -\xff]")


def read_aedat(path: Path, cut_off: bool = False, reading: Reading = AS_IT_STANDS) -> Events:
    """The events of an AEDAT 1.0, 2.0, 3.0 or 3.1 file, x and y as the sensor counts them.

    Args:
        path: the file.
        cut_off: take what a file holds that ends within an event or a packet; else it is refused.
        reading: how to read what is open; cameras are the sources of AEDAT 3.1, by their numbers or names.

    Raises:
        ValueError: when it is of another version or sensor, of several cameras, cut off or damaged.
    """
    with path.open("rb") as file:
        version, lines = _read_header(file, path)
        if version in _PACKETS:
            columns, missing = _read_packets(file, lines, path, reading)
        else:
            columns, missing = _read_records(file, _RECORDS[version], lines, path)
    if missing and not cut_off:
        raise ValueError(f"{str(path)!r} is cut off: {missing} bytes are missing at its end, or more")
    return columns.events(reading)


def _read_header(file: IO[bytes], path: Path) -> tuple[str, list[bytes]]:
    """The version, and the lines after it; the data come next in the file."""
    line = file.readline(_LONGEST_LINE)
    if not line.startswith(b"#!AER-DAT"):
        raise ValueError(f"{str(path)!r} is not an AEDAT file: it does not begin with #!AER-DAT")
    version = line.removeprefix(b"#!AER-DAT").strip().decode("ascii", "replace")
    if version not in (*_RECORDS, *_PACKETS):
        raise ValueError(
            f"{str(path)!r} is of AEDAT {version[:20]!r}; 1.0, 2.0, 3.0 and 3.1 are read here, 4.0 by `aedat`"
        )
    lines: list[bytes] = []
    while line.endswith(b"\n") and not line.startswith(_END_OF_HEADER):
        start = file.tell()
        line = file.readline(_LONGEST_LINE)
        if not line.startswith(b"#") or _CONTROL.search(line):  # an event may begin with #, too
            file.seek(start)
            return version, lines
        lines.append(line)
    if not line.endswith(b"\n"):
        raise ValueError(f"{str(path)!r} is cut off in its header")
    return version, lines


def _value(lines: list[bytes], key: bytes) -> str:
    """What a line of a header says, empty where there is none."""
    for line in lines:
        name, _, value = line.strip(b"#\r\n ").partition(b":")
        if name.strip() == key:
            return value.strip().decode("ascii", "replace")[:80]
    return ""


def _read_records(file: IO[bytes], record: np.dtype, lines: list[bytes], path: Path) -> tuple[Columns, int]:
    """All events, and how many bytes are missing."""
    chip = _value(lines, b"AEChip").rpartition(".")[2]
    left = path.stat().st_size - file.tell()
    columns = Columns(left // record.itemsize)
    for _ in range(0, left // record.itemsize, BLOCK):
        content = file.read(BLOCK * record.itemsize)
        records = np.frombuffer(content, record, len(content) // record.itemsize)
        address, time = records["address"], records["time"]
        if (chip and "128" not in chip) or (record.itemsize == 8 and (address >> 16).any()):
            raise ValueError(
                f"{str(path)!r} is not of a DVS128{f' but of a {chip}' if chip else ''}, whose addresses alone are "
                "read here: save it as AEDAT 4 (iniVation's DV) or as .npz"
            )
        pixels = (address & _NO_PIXEL) == 0
        address = address[pixels]
        columns.add(time[pixels], address >> 1 & 0x7F, address >> 8 & 0x7F, ~address & 1)
    return columns, -left % record.itemsize


class _Packet(NamedTuple):
    kind: int
    source: int
    size: int
    number: int
    """Of events that are there."""
    overflows: int
    missing: int
    """Bytes after the end of the file."""


def _packets(file: IO[bytes], start: int, path: Path) -> Iterator[_Packet]:
    """Packet after packet; the file then stands at its events."""
    end = path.stat().st_size
    while start + _PACKET.itemsize <= end:
        file.seek(start)
        packet = np.frombuffer(file.read(_PACKET.itemsize), _PACKET)[0]
        kind, size, number, capacity = (int(packet[name]) for name in ("type", "size", "number", "capacity"))
        if size < 1 or not 0 <= number <= capacity or (kind == _POLARITY and size != 8):
            raise ValueError(f"{str(path)!r} is damaged: byte {start} does not begin a packet")
        start += _PACKET.itemsize
        there = min(number, (end - start) // size)
        missing = max(0, start + number * size - end)
        yield _Packet(kind, int(packet["source"]), size, there, int(packet["time_overflows"]), missing)
        start += size * capacity
    if start < end:
        yield _Packet(0, 0, 1, 0, 0, start + _PACKET.itemsize - end)


def _read_packets(file: IO[bytes], lines: list[bytes], path: Path, reading: Reading) -> tuple[Columns, int]:
    """All events, and how many bytes are missing."""
    form = _value(lines, b"Format")
    if form.upper() not in ("", "RAW"):
        raise ValueError(f"{str(path)!r} has the format {form!r}; RAW alone is read: save it anew, as that or as .npz")
    start = file.tell()
    kinds = set[int]()
    sources = dict[str, str]()
    most = 0
    missing = 0
    for packet in _packets(file, start, path):
        missing = packet.missing
        if packet.number:
            kinds.add(packet.kind)
        if packet.kind == _POLARITY and packet.number:
            most += packet.number
            sources[str(packet.source)] = _value(lines, b"Source %d" % packet.source)
    if kinds and _POLARITY not in kinds:
        raise ValueError(
            f"{str(path)!r} holds no events of pixels, only packets of types {', '.join(map(str, sorted(kinds)))}"
        )
    if not sources:
        return Columns(0), missing
    source = int(choose_camera(sources, reading))
    columns = Columns(most)
    for packet in _packets(file, start, path):
        if (packet.kind, packet.source) != (_POLARITY, source):
            continue
        for first in range(0, packet.number, BLOCK):
            content = file.read(min(BLOCK, packet.number - first) * packet.size)
            words = np.frombuffer(content, "<u4").reshape(-1, 2)
            valid = words[:, 0] & 1 == 1
            data = words[valid, 0]
            time = words[valid, 1].astype(np.int64) + (packet.overflows << 31)
            columns.add(time, data >> 17 & 0x7FFF, data >> 2 & 0x7FFF, data >> 1 & 1)
    return columns, missing
