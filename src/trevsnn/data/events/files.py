"""Recordings in files of any format that can be read."""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from trevsnn.data.events.aedat import read_aedat
from trevsnn.data.events.atis import read_atis
from trevsnn.data.events.recording import Events
from trevsnn.data.pictures import BadImageError

_COLUMNS = ("t", "x", "y", "p")
_PACKAGES = {".aedat4": "aedat", ".h5": "h5py", ".hdf5": "h5py"}


def read_recording(path: Path) -> Events:
    """The events of a file, by the end of its name.

    .aedat: AEDAT 2.0 or 3.1 of a DVS128. .aedat4: with the package `aedat`. .bin: N-MNIST's. .npz, .h5 and .hdf5 (with
    `h5py`): arrays t, x, y and p, in HDF5 perhaps in a group "events", which may also be a data set like .npy: a
    structured array of these, or (N, 4) in this order. t is in microseconds; p is 0 or 1, or -1 or 1.

    Raises:
        BadImageError: when it cannot be read, or its time goes backwards.
        ValueError: as `check_readable`.
    """
    check_readable(path)
    return read_with(READERS[path.suffix.lower()], path)


def check_readable(path: Path) -> None:
    """Refuse a file for which there is no reader.

    Raises:
        ValueError: when it is of another kind, or the package that reads it is not installed.
    """
    kind = path.suffix.lower()
    if kind not in READERS:
        raise ValueError(f"{str(path)!r} is no recording: its name must end in {', '.join(READERS)}")
    package = _PACKAGES.get(kind)
    if package is not None and find_spec(package) is None:
        raise ValueError(f"to read {str(path)!r}, install another package: pip install {package}")


def read_with(reader: Callable[[Path], Events], path: Path) -> Events:
    """What a reader makes of a file.

    Raises:
        BadImageError: when it cannot be read; the message names it.
    """
    try:
        return reader(path)
    except Exception as error:  # the decoders of damaged files can fail in any way
        reason = str(error) if str(path) in str(error) else f"{str(path)!r}: {error}"
        if "pickle" in reason:  # NumPy's advice on what is no array at all
            reason = f"{str(path)!r} holds no arrays"
        raise BadImageError(f"recording that cannot be read: {reason}") from error


def _read_aedat4(path: Path) -> Events:
    import aedat

    packets = [packet["events"] for packet in aedat.Decoder(str(path)) if "events" in packet]
    if not packets:
        return Events(*np.empty((4, 0), int))
    events = np.concatenate(packets)
    return Events(events["t"], events["x"], events["y"], events["on"])


def _read_npz(path: Path) -> Events:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return _from_columns(arrays)


def _read_npy(path: Path) -> Events:
    return _from_array(np.load(path, allow_pickle=False))


def _from_array(array: np.ndarray) -> Events:
    if array.dtype.names is not None:
        return _from_columns({name: array[name] for name in array.dtype.names})
    if array.ndim != 2 or array.shape[1] != len(_COLUMNS):
        raise ValueError(f"an array of shape {array.shape} must be (N, 4), or have the fields t, x, y and p")
    return _from_columns(dict(zip(_COLUMNS, array.T, strict=True)))


def _read_hdf5(path: Path) -> Events:
    import h5py

    with h5py.File(path) as file:
        found: Any = file.get("events", file)
        if isinstance(found, h5py.Dataset):
            return _from_array(found[()])
        return _from_columns({name: found[name][()] for name in _COLUMNS if name in found})


def _from_columns(columns: Mapping[str, Any]) -> Events:
    for name in _COLUMNS:
        if name not in columns:
            raise ValueError(f"there is no array {name!r}; t, x, y and p are needed")
    t, x, y, p = (np.asarray(columns[name]) for name in _COLUMNS)
    return Events(t, x, y, np.maximum(p, 0) if p.size and p.dtype.kind in "if" and p.min() == -1 else p)


READERS: Mapping[str, Callable[[Path], Events]] = {
    ".aedat": read_aedat,
    ".aedat4": _read_aedat4,
    ".bin": read_atis,
    ".npz": _read_npz,
    ".npy": _read_npy,
    ".h5": _read_hdf5,
    ".hdf5": _read_hdf5,
}
