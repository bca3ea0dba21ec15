"""A look at the global heaps of HDF5 files, over some damaged ones of which the library never comes.

A heap begins with GCOL, version 1 and its size; objects follow, each of an index (0 for free space), a size
and, but for free space, whose size is of all, a header of 16 bytes before its content, which is filled up to 8 bytes.

Source: HDF5 file format specification, version 3.0, III.E.
"""

import mmap
from pathlib import Path

_BEGINNING = b"GCOL\1\0\0\0"
_HEADER = 16
_SMALLEST = 4096


def check_heaps(path: Path, length: int) -> None:
    """Refuse a file with a heap in which the library would go on and on.

    Args:
        path: the file, not empty.
        length: bytes of a size in it.

    Raises:
        ValueError: naming the place.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        steps, place = len(content) // 8, -1
        while (place := content.find(_BEGINNING, place + 1)) >= 0:
            end = place + _number(content, place + 8, length)
            if not place + _SMALLEST <= end <= len(content):
                continue  # which the library refuses, if it is a heap at all
            at = place + _HEADER
            while at + _HEADER <= end:
                free = not _number(content, at, 2)
                size = _number(content, at + 8, length)
                step = size if free else _HEADER + -(-size // 8) * 8
                steps -= 1
                if not step or steps < 0:
                    raise ValueError(f"it is damaged: its heap at byte {place:,} has no end")
                at += step


def _number(content: mmap.mmap, place: int, size: int) -> int:
    return int.from_bytes(content[place : place + size], "little")
