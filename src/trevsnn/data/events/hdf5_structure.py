"""A look at the heaps and trees of HDF5 files, some damaged ones of which the library follows for ever.

A global heap begins with GCOL, version 1 and its size; objects follow, each of an index (0 for free space), a size and,
but for free space, whose size is of all, a header of 16 bytes before its content, which is filled up to 8 bytes. A node
of a tree begins with TREE, its type, its level and the number of its entries (2 bytes); the addresses of the nodes to
its left and right follow.

Source: HDF5 file format specification, version 3.0, III.A.1 and III.E.
"""

import mmap
from pathlib import Path

_HEAP = b"GCOL\1\0\0\0"
_HEADER = 16
_SMALLEST = 4096
_NODE = b"TREE"


def check_ends(path: Path, address: int, length: int, begin: int) -> None:
    """Refuse a file with a heap or a tree in which the library would go on and on.

    Args:
        path: the file, not empty.
        address, length: bytes of an address and of a size in it.
        begin: of what addresses count from (bytes).

    Raises:
        ValueError: naming the place.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        _check_heaps(content, length)
        _check_trees(content, address, begin)


def _check_heaps(content: mmap.mmap, length: int) -> None:
    steps, place = len(content) // 8, -1
    while (place := content.find(_HEAP, place + 1)) >= 0:
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
                raise _endless("heap", place)
            at += step


def _check_trees(content: mmap.mmap, address: int, begin: int) -> None:
    right_of: dict[int, int] = {}
    place = -1
    while (place := content.find(_NODE, place + 1)) >= 0:
        right_of[place] = begin + _number(content, place + 8 + address, address)
    while right_of:
        first, place = right_of.popitem()
        met = {first}
        while place in right_of:
            met.add(place)
            place = right_of.pop(place)
        if place in met:
            raise _endless("tree", place)


def _endless(what: str, place: int) -> ValueError:
    return ValueError(f"it is damaged: its {what} at byte {place:,} has no end")


def _number(content: mmap.mmap, place: int, size: int) -> int:
    return int.from_bytes(content[place : place + size], "little")
