"""Recordings in NumPy's files, .npy and .npz: headers are read first, and arrays if they are what they should be."""

import ast
import io
import math
import re
import zipfile
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from trevsnn.data.events.budget import check_size
from trevsnn.data.events.columns import check_complete, describe_arrays, find_columns, from_array, from_columns
from trevsnn.data.events.reading import Reading
from trevsnn.data.events.recording import Events

_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 2**16
_LONG = re.compile(rb"(?<=\d)L(?=[,) ])")


class _Header(NamedTuple):
    shape: tuple[int, ...]
    kind: np.dtype

    @property
    def size(self) -> int:
        """Of the values (bytes)."""
        return self.kind.itemsize * math.prod(self.shape)


def read_npy(path: Path, reading: Reading) -> Events:
    """The events of an .npy file: an array with fields, or one of four columns.

    Raises:
        ValueError: as `from_array`; for a header that is none, or an array that the file is too small for.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        header, start = _read_header(file)
        if header.size > size - start and not header.kind.hasobject:
            raise ValueError(f"it is cut off: {header.size - (size - start):,} bytes of its array are missing")
        file.seek(0)
        return from_array(_read_array(file, header), reading)


def read_npz(path: Path, reading: Reading) -> Events:
    """The events of an .npz file: an array each for t, x, y and p, or one array as for `read_npy`.

    Raises:
        ValueError: as `from_columns`; when the file holds no such arrays, two of one name, or asks for much memory.
    """
    with _opened(path) as archive:
        headers: dict[str, _Header] = {}
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if info.is_dir() or name == info.filename:
                continue
            if info.compress_type == zipfile.ZIP_LZMA:  # which may ask for gigabytes
                raise ValueError(f"its array {name!r} is packed by LZMA; save it anew: np.savez_compressed")
            if name in headers:
                raise ValueError(f"it holds two arrays {name!r}; keep one of them")
            with archive.open(info) as file:
                headers[name], start = _read_header(file)
            if headers[name].size != info.file_size - start and not headers[name].kind.hasobject:
                raise ValueError(f"its array {name!r} is damaged: {info.file_size - start:,} bytes are not its size")

        def read(name: str) -> np.ndarray:
            with archive.open(f"{name}.npy") as file:
                return _read_array(file, headers[name])

        found = find_columns(headers)
        single = _single(headers) if len(found) < 4 else None
        wanted = [column.name for column in found.values()] if single is None else [single]
        check_size(sum(headers[name].size for name in wanted), path.stat().st_size)
        if single is not None:
            return from_array(read(single), reading)
        check_complete(found, describe_arrays(headers) + _frames(headers))
        return from_columns({kind: read(column.name) for kind, column in found.items()}, reading, found["t"].unit)


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        what = "is empty" if not path.stat().st_size else f"is cut off, or no .npz file ({error})"
        raise ValueError(f"it {what}; copy it again") from error


def _single(headers: dict[str, _Header]) -> str | None:
    """The one array that may hold whole events."""
    names = [
        name
        for name, (shape, kind) in headers.items()
        if (kind.names is not None and len(shape) == 1) or (len(shape) == 2 and 4 in shape)
    ]
    return names[0] if len(names) == 1 else None


def _frames(headers: dict[str, _Header]) -> str:
    frames = any(len(shape) == 4 and shape[1] in (1, 2) for shape, _ in headers.values())
    return ": frames in place of events, made for another library; give the recordings themselves" if frames else ""


def _read_header(file: IO[bytes]) -> tuple[_Header, int]:
    """Shape and type of an array, and where its values begin."""
    start = file.read(len(_MAGIC) + 2)
    if start[: len(_MAGIC)] != _MAGIC:
        raise ValueError("it holds no arrays" if not start else "it holds something else than arrays")
    version = start[len(_MAGIC) :]
    length = file.read(2 if version == b"\1\0" else 4)
    if version not in (b"\1\0", b"\2\0"):
        raise ValueError(f"it has an array of version {'.'.join(map(str, version))}; save it anew: numpy.save")
    many = int.from_bytes(length, "little")
    if many > _LONGEST_HEADER:
        raise ValueError(f"it is damaged: the header of an array has {many:,} bytes")
    content = file.read(many)
    read = np.lib.format.read_array_header_1_0 if version == b"\1\0" else np.lib.format.read_array_header_2_0
    try:
        text = _of_python_3(content)
        rest = io.BytesIO(len(text).to_bytes(len(length), "little") + text)
        shape, _, kind = read(rest, max_header_size=_LONGEST_HEADER)
    except Exception as error:  # what stands there is Python, and can fail in any way
        raise ValueError(f"it is damaged: an array has a header that is none ({type(error).__name__})") from error
    if any(type(side) is not int or side < 0 for side in shape):
        raise ValueError(f"it is damaged: an array has the shape {shape!r}")
    return _Header(shape, kind), len(start) + len(length) + many


def _of_python_3(header: bytes) -> bytes:
    """Without the L behind numbers of Python 2. NumPy looks for it too, which takes minutes in a damaged header.

    Raises:
        SyntaxError: for what is not a header in any case.
    """
    try:
        ast.literal_eval(header.decode("latin-1"))
    except SyntaxError:
        header = _LONG.sub(b"", header)
        ast.literal_eval(header.decode("latin-1"))
    return header


def _read_array(file: IO[bytes], header: _Header) -> np.ndarray:
    if header.kind.hasobject:
        raise ValueError("an array holds Python objects, which are not read, as they may run code; save numbers")
    return np.lib.format.read_array(file, allow_pickle=False, max_header_size=_LONGEST_HEADER)
