"""Recordings in files of any format that can be read: what a file is, its content says, not its name."""

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from trevsnn.data.events.aedat import read_aedat
from trevsnn.data.events.aedat4 import read_aedat4
from trevsnn.data.events.arrays import read_npy, read_npz
from trevsnn.data.events.atis import read_atis
from trevsnn.data.events.dat import read_dat
from trevsnn.data.events.hdf5 import read_hdf5
from trevsnn.data.events.reading import AS_IT_STANDS, Reading
from trevsnn.data.events.recording import Events
from trevsnn.data.pictures import BadImageError
from trevsnn.models.file_kind import stand_in


@dataclass(frozen=True)
class Format:
    """A kind of files."""

    read: Callable[[Path, Reading], Events]
    package: str | None = None
    """That reads it, where that is not installed with this one."""


_AEDAT = Format(lambda path, reading: read_aedat(path, reading=reading))
_AEDAT4, _HDF5 = Format(read_aedat4, "aedat"), Format(read_hdf5, "h5py")
_NPY = Format(read_npy)
_NPZ = Format(read_npz)
_DAT = Format(read_dat)
_ATIS = Format(read_atis)
READERS: Mapping[str, Format] = {
    ".aedat": _AEDAT,
    ".aedat2": _AEDAT,
    ".aedat3": _AEDAT,
    ".aedat4": _AEDAT4,
    ".bin": _ATIS,
    ".dat": _DAT,
    ".npz": _NPZ,
    ".npy": _NPY,
    ".h5": _HDF5,
    ".hdf5": _HDF5,
    ".hdf": _HDF5,
}
"""By the ends of names, of the files that are recordings; holds where the first bytes do not tell."""
_SIGNATURES: Mapping[bytes, Format] = {
    b"#!AER-DAT4": _AEDAT4,
    b"#!AER-DAT": _AEDAT,
    b"\x93NUMPY": _NPY,
    b"PK\x03\x04": _NPZ,
    b"PK\x05\x06": _NPZ,
    b"\x89HDF\r\n\x1a\n": _HDF5,
    b"% Data file containing": _DAT,
}
_MATLAB = "a MATLAB file: save its arrays by np.savez(FILE, t=..., x=..., y=..., p=...), x and y counted from 0"
_BAG = "a ROS bag: save its events by np.savez(FILE, t=..., x=..., y=..., p=...)"
_RAW = "a RAW file of Prophesee: convert it by metavision_file_to_dat or metavision_file_to_hdf5"
_TEXT = "text: save its columns by np.savez(FILE, t=..., x=..., y=..., p=...)"
NOT_READ: Mapping[str, str] = {".raw": _RAW, ".mat": _MATLAB, ".bag": _BAG, ".txt": _TEXT, ".csv": _TEXT}
"""By the ends of names: recordings of other kinds, and the way out."""
_FOREIGN: Mapping[bytes, str] = {
    b"MATLAB ": _MATLAB,
    b"#ROSBAG": _BAG,
    b"\x1f\x8b\x08": "compressed by gzip: unpack it",
    b"\x28\xb5\x2f\xfd": "compressed by zstd: unpack it",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive: unpack it",
    b"Rar!\x1a\x07": "a RAR archive: unpack it",
}
_HEADER_OF_RAW = re.compile(rb"% (evt \d|format EVT)")
_LINES = re.compile(rb"[ \t]*[-+.\w]+[ \t]*[,; \t][-+.\w,; \t]*\r?\n")
"""How columns of numbers in text begin, perhaps with their names."""
_START = 2**12


def read_recording(path: Path, reading: Reading = AS_IT_STANDS) -> Events:
    """The events of a file, whatever its name: AEDAT 1.0 and 2.0 of a DVS128, 3.0, 3.1 and 4 (with `aedat`), N-MNIST's
    .bin, Prophesee's .dat, .npz, .npy and HDF5 (with `h5py`). What arrays may be called, see
    `trevsnn.data.events.columns`.

    Args:
        path: the file.
        reading: how to read what files leave open.

    Raises:
        BadImageError: when it cannot be read, or can be read in several ways; the message says what to do.
        ValueError: as `check_readable`.
    """
    path = Path(path)
    found = check_readable(path)
    return read_with(lambda path: found.read(path, reading), path)


def check_readable(path: Path) -> Format:
    """What a file is, by its first bytes, else by the end of its name.

    Raises:
        BadImageError: when it cannot be opened, or there is no reader for its kind.
        ValueError: when the package that reads it is not installed.
    """
    try:
        if not path.is_file():
            raise BadImageError(f"{str(path)!r} {'is not a file' if path.exists() else 'does not exist'}")
        with path.open("rb") as file:
            start = file.read(_START)
    except OSError as error:
        raise BadImageError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    found, other = _recognise(start, path.suffix.lower())
    if found is None:
        raise BadImageError(
            f"{str(path)!r} is {other}"
            if other
            else f"{str(path)!r} is not a recording, by what it begins with; the names of "
            f"recordings end in {', '.join(READERS)}"
        )
    if found.package is not None and find_spec(found.package) is None:
        raise ValueError(f"to read {str(path)!r}, install another package: pip install {found.package}")
    return found


def _recognise(start: bytes, ending: str) -> tuple[Format | None, str]:
    """What a file that begins so is; or that it is read by no reader here, and the way out."""
    for first, kind in _SIGNATURES.items():
        if start.startswith(first) and not (kind is _DAT and _HEADER_OF_RAW.search(start)):
            return kind, ""
    if start.startswith(b"% ") and ending != ".bin":
        return (None, _RAW) if _HEADER_OF_RAW.search(start) else (_DAT, "")
    if ending != ".bin" and (kind := stand_in(start)) is not None and kind.name != "empty":
        return None, kind.words.removeprefix("is ")
    for first, words in _FOREIGN.items():
        if start.startswith(first) and ending != ".bin":  # which may begin with any bytes
            return None, words
    if ending in READERS and ending != ".bin" and _LINES.match(start):
        return None, _TEXT
    return READERS.get(ending), NOT_READ.get(ending, "")


def read_with(reader: Callable[[Path], Events], path: Path) -> Events:
    """What a reader makes of a file.

    Raises:
        BadImageError: when it cannot be read; the message names it, in one line.
    """
    try:
        with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
            return reader(path)
    except Exception as error:  # the decoders of damaged files can fail in any way
        reason = " ".join(str(error).split()) or type(error).__name__
        reason = reason if str(path) in str(error) else f"{str(path)!r}: {reason}"
        raise BadImageError(f"recording that cannot be read: {reason}") from error
