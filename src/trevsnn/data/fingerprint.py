"""Whether a file is what it was when something was made from it, whatever its date says.

The content decides. It is looked at only where the file system says that the file may be another one, by its size, its
number or one of its dates; the date of the last change of any kind, which no program can set, is among them.
"""

import time
from functools import lru_cache
from hashlib import blake2b, file_digest
from pathlib import Path

SIZE = 16
"""Of a mark of either kind (bytes)."""
_SETTLED = 2_000_000_000
"""Nanoseconds after a change: within them, another may have the same date."""
_KNOWN = 1024


def stand_of(file: Path) -> bytes:
    """A mark of what the file system says of a file: the same as long as nobody writes to it.

    Raises:
        OSError: when there is no such file.
    """
    status = file.stat()
    said = status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns
    return blake2b(repr(said).encode(), digest_size=SIZE).digest()


def has_settled(file: Path) -> bool:
    """Whether the next change of a file will change its stand.

    Raises:
        OSError: when there is no such file.
    """
    return abs(time.time_ns() - file.stat().st_ctime_ns) > _SETTLED


def content_of(file: Path) -> bytes:
    """A mark of what is in a file.

    Raises:
        OSError: when it cannot be read.
    """
    if not has_settled(file):
        return _hashed(file)
    return _known(file, stand_of(file))


@lru_cache(_KNOWN)
def _known(file: Path, stand: bytes) -> bytes:
    """Of a long recording, which is asked for with each of its parts."""
    return _hashed(file)


def _hashed(file: Path) -> bytes:
    with file.open("rb") as opened:
        return file_digest(opened, lambda: blake2b(digest_size=SIZE)).digest()
