"""Files that are either the old one or the new one, never half of it, whatever happens in between."""

import codecs
import errno
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

_MANY = 2**20
_ELSEWHERE = "write elsewhere, to another --output for example"
_WAYS_OUT = {
    errno.EACCES: "; give this user the right to, or choose another place",
    errno.EDQUOT: f"; make room, or {_ELSEWHERE}",
    errno.EMFILE: "; allow more of them: ulimit -n 4096",
    errno.ENOSPC: f"; make room, or {_ELSEWHERE}",
    errno.EROFS: f"; {_ELSEWHERE}",
}
"""By the number of a system's error."""
_OF_TEMPORARY = re.compile(r"(.*/|)\.([^/]+?)(\.[0-9a-f]{32})?\.tmp$")
"""Names of files while they are written."""


@contextmanager
def atomic_path(path: Path, shared: bool = False) -> Iterator[Path]:
    """A temporary name next to `path`; what was written under it becomes `path` when the block ends well.

    A link is followed; a device or a pipe, which cannot be replaced, is written to directly.

    Args:
        path: the file to write.
        shared: several processes may write it at once, the last of them for good. Skips fsync, so a power failure may
            lose the file; use it for caches.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        yield path
        return
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp" if shared else f".{path.name}.tmp")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)  # some writers make files for their owner only
        if not shared:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if not shared:
        _sync_folder(path.parent)


class ClippedReader(io.BufferedReader):
    """A file that takes no memory for more than it holds, whatever length a damaged one asks for."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MANY:
            size = min(size, os.fstat(self.fileno()).st_size)
        return super().read(size)


def read_text(path: Path) -> str:
    """A text file whatever system wrote it (see `decode_text`).

    Raises:
        OSError: when it cannot be read.
    """
    return decode_text(path.read_bytes())


def decode_text(content: bytes) -> str:
    """Text whatever system wrote it: UTF-8 or UTF-16, with a byte order mark or without, else Windows' Latin letters;
    lines end with a line feed alone."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    elif b"\0" in content[:2]:  # of two bytes, one is 0 for every Latin letter
        encodings = ["utf-16-le" if content[1:2] == b"\0" else "utf-16-be"]
    else:
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in [*encodings, "latin-1"]:
        with suppress(UnicodeDecodeError):
            return content.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
    raise AssertionError("Latin-1 has a letter for every byte")


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file at once."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened; the rename is then as durable as it gets
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def in_words(error: OSError) -> str:
    """What the system says, with the file that it is about and the way out; else the error's own words."""
    if error.strerror is None or not str(error).startswith(f"[Errno {error.errno}]"):
        return str(error)
    words = f"{error.strerror}{_WAYS_OUT.get(error.errno or 0, '')}"
    if not isinstance(error.filename, str | bytes):
        return words
    file = _OF_TEMPORARY.sub(r"\1\2", os.fsdecode(error.filename))
    return f"{file!r}: {words}"
