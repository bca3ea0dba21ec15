"""Recordings in HDF5 files, wherever in them the events lie."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trevsnn.data.events.budget import check_size
from trevsnn.data.events.columns import (
    COLUMNS,
    check_complete,
    describe_arrays,
    find_columns,
    from_array,
    from_columns,
    unit_of,
)
from trevsnn.data.events.hdf5_structure import check_ends
from trevsnn.data.events.reading import Reading, TimeUnit, choose_camera
from trevsnn.data.events.recording import Events

_FILTERS = {
    4: "szip",
    307: "bzip2",
    32000: "lzf",
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32013: "zfp",
    32015: "zstd",
    32017: "sz",
    32026: "blosc2",
}
_ECF = 36559
_USUAL = ("events", "/")
"""Where the events of a file are, whatever it holds beside them."""
_UNIT_NAMES = ("unit", "units", "time_unit", "time_units")


class _Place(NamedTuple):
    """Events within a file."""

    data: dict[str, Any]
    """The data sets that hold t, x, y and p; or one "" of four columns."""
    fields: dict[str, str]
    """Of these, where one holds all."""
    unit: TimeUnit
    """Of t."""


def read_hdf5(path: Path, reading: Reading) -> Events:
    """The events of an HDF5 file: a group of arrays t, x, y and p, a data set with such fields, or one of four columns.

    Raises:
        ValueError: as `from_columns`; when the file holds no events, or those of several cameras; when they are
            compressed in a way that cannot be undone here, lie in another file, or were never written.
        OSError: when it cannot be read, or another program writes it.
    """
    with _opened(path) as file:
        address, length = file.id.get_create_plist().get_sizes()
        check_ends(path, address, length, file.userblock_size)
        data, elsewhere = _data_sets(file)
        places = _places(data)
        if not places:
            check_complete({}, describe_arrays({name: (d.shape, d.dtype) for name, d in data.items()}) + elsewhere)
        usual = [name for name in _USUAL if name in places]
        name = usual[0] if usual and reading.camera is None else choose_camera(dict.fromkeys(places, ""), reading)
        place = places[name]
        stored = {part.name: part for part in place.data.values()}
        for part in stored.values():
            _check_stored(part)
        check_size(sum(part.nbytes for part in stored.values()), path.stat().st_size)
        if "" in place.data:
            return from_array(place.data[""][()], reading, place.unit)
        columns = {
            kind: part.fields(place.fields[kind])[()] if place.fields else part[()] for kind, part in place.data.items()
        }
        columns["t"] = _with_offset(columns["t"], place.data["t"])
        return from_columns(columns, reading, place.unit)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import h5py

    with suppress(ImportError):
        import hdf5plugin  # noqa: F401  # more kinds of compression, from now on
    try:
        file = h5py.File(path, locking="best-effort")
    except OSError as error:
        words = str(error)
        if "truncated file" in words:
            raise ValueError(f"it is cut off, or still being written; copy it again ({words})") from error
        if "signature not found" in words:
            raise ValueError(f"it is not an HDF5 file, or damaged at its beginning; copy it again ({words})") from error
        if "unable to lock" in words or "already open" in words:
            raise OSError(
                f"{str(path)!r} is being written by another program, or was not closed by the one that wrote it: wait "
                f"for that one, or mark it as closed by `h5clear -s FILE`"
            ) from error
        raise
    with file:
        yield file


def _data_sets(file: Any) -> tuple[dict[str, Any], str]:
    """The data sets by their paths, whatever their type, and words about links to other files."""
    import h5py

    found: dict[str, Any] = {}
    links: list[str] = []

    def note(name: str, item: Any) -> None:
        with suppress(TypeError, ValueError):  # of a type that NumPy has not
            if isinstance(item, h5py.Dataset) and item.shape is not None and item.dtype is not None:
                found[name] = item

    def note_link(name: str, link: Any) -> None:
        if isinstance(link, h5py.ExternalLink):
            links.append(f"{name} in {link.filename}")
        elif isinstance(link, h5py.SoftLink):
            note(name, file.get(name))

    file.visititems(note)
    file.visititems_links(note_link)
    words = (
        f"; and links to other files ({', '.join(links[:3])}): copy what they lead to into this one" if links else ""
    )
    return found, words


def _places(data: dict[str, Any]) -> dict[str, _Place]:
    """Where there may be events."""
    places: dict[str, _Place] = {}
    groups: dict[str, dict[str, Any]] = {}
    for name, part in data.items():
        group, _, last = name.rpartition("/")
        if part.dtype.names is not None:
            found = find_columns(part.dtype.names)
            if len(found) == len(COLUMNS):
                fields = {kind: column.name for kind, column in found.items()}
                places[name] = _Place(dict.fromkeys(COLUMNS, part), fields, _unit(part, found["t"].unit))
        elif len(part.shape) == 2 and len(COLUMNS) in part.shape and ("event" in last.lower() or len(data) == 1):
            places[name] = _Place({"": part}, {}, _unit(part, "auto"))
        else:
            groups.setdefault(group or "/", {})[last] = part
    for group, parts in groups.items():
        found = find_columns(parts)
        if len(found) == len(COLUMNS):
            columns = {kind: parts[column.name] for kind, column in found.items()}
            places[group] = _Place(columns, {}, _unit(columns["t"], found["t"].unit))
    return places


def _unit(part: Any, of_name: TimeUnit) -> TimeUnit:
    """Of the times in a data set: what its name says, or its attributes."""
    if of_name != "auto":
        return of_name
    for name in _UNIT_NAMES:
        words = part.attrs.get(name)
        if isinstance(words, bytes):
            words = words.decode("ascii", "replace")
        if isinstance(words, str) and unit_of(words) != "auto":
            return unit_of(words)
    return "auto"


def _check_stored(part: Any) -> None:
    """Refuse what cannot be read, or is not there, before it is tried."""
    import h5py

    if part.dtype.names is None and part.dtype.kind not in "iubf":
        raise ValueError(f"{part.name} of type {part.dtype} must hold numbers")
    if part.is_virtual or part.external:
        raise ValueError(
            f"{part.name} lies in other files: copy it into this one, for example by "
            'file["copy"] = file["..."][()] in h5py'
        )
    properties = part.id.get_create_plist()
    for number in range(properties.get_nfilters()):
        code, _, _, name = properties.get_filter(number)
        if not h5py.h5z.filter_avail(code):
            raise ValueError(_without_filter(code, name.decode("ascii", "replace")))
    if part.size and not part.id.get_storage_size():
        raise ValueError(f"{part.name} was never written: its {part.size:,} values are not in the file")


def _without_filter(code: int, name: str) -> str:
    what = (
        "ECF, of Prophesee" if code == _ECF else _FILTERS.get(code) or name.partition(" ")[0][:40] or "an unknown way"
    )
    if code == _ECF:
        way = "have Metavision's HDF5 plugin on HDF5_PLUGIN_PATH, or convert it to .dat by metavision_file_to_dat"
    elif find_spec("hdf5plugin") is None:
        way = "pip install hdf5plugin"
    else:
        way = "hdf5plugin is installed and does not know it; where it can be read, save it anew by h5repack -f GZIP=1"
    return f"it is compressed by {what} (filter {code} of HDF5): {way}"


def _with_offset(t: np.ndarray, part: Any) -> np.ndarray:
    """Times from the beginning of all, where an array t_offset beside t, or further up, says when this file begins."""
    group = part.parent
    while group.get("t_offset") is None and group.name != "/":
        group = group.parent
    offset: Any = group.get("t_offset")
    if not (getattr(offset, "size", None) == 1 and offset.dtype.kind in "iu" and t.dtype.kind in "iu" and len(t)):
        return t
    begin = int(np.asarray(offset[()]).item())
    if int(t.min()) + begin < -(2**63) or int(t.max()) + begin >= 2**63:
        raise ValueError(f"t from {t.min()} to {t.max()} with t_offset {begin} does not fit 64 bits")
    return t.astype(np.int64) + begin
