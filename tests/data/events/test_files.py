"""Recordings in the formats that other tools write."""

import h5py
import numpy as np
import pytest

from trevsnn.data import BadImageError
from trevsnn.data.events import Events, files, read_recording

EVENTS = Events(np.array([5, 9, 9, 40]), np.array([1, 2, 3, 60]), np.array([0, 7, 47, 1]), np.array([1, 0, 0, 1]))


def columns(events):
    return [column.tolist() for column in events.columns()]


def named():
    return dict(zip("txyp", EVENTS.columns(), strict=True))


def structured():
    array = np.empty(4, [("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "?")])
    for name, values in named().items():
        array[name] = values
    return array


def write_hdf5(path, group):
    with h5py.File(path, "w") as file:
        for name, values in named().items():
            file[f"{group}{name}"] = values


def write_structured_hdf5(path):
    with h5py.File(path, "w") as file:
        file["events"] = structured()


def write_aedat4(path):
    """By iniVation's own library, which is not the one that reads it here."""
    dv = pytest.importorskip("dv_processing")
    store = dv.EventStore()
    for t, x, y, p in zip(*columns(EVENTS), strict=True):
        store.push_back(t, x, y, bool(p))
    writer = dv.io.MonoCameraWriter(str(path), dv.io.MonoCameraWriter.EventOnlyConfig("DVXplorer_0", (64, 48)))
    writer.writeEvents(store)
    del writer  # closes the file


WRITERS = {
    "a.npz": lambda path: np.savez_compressed(path, **named()),
    "signed.npz": lambda path: np.savez(path, **{**named(), "p": EVENTS.p.astype(np.int8) * 2 - 1}),
    "a.npy": lambda path: np.save(path, structured()),
    "columns.npy": lambda path: np.save(path, np.stack(list(EVENTS.columns()), 1)),
    "a.h5": lambda path: write_hdf5(path, ""),
    "group.HDF5": lambda path: write_hdf5(path, "events/"),
    "structured.h5": lambda path: write_structured_hdf5(path),
    "floats.npy": lambda path: np.save(path, np.stack(list(EVENTS.columns()), 1).astype(float)),
    "a.aedat4": write_aedat4,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_events(tmp_path, name):
    WRITERS[name](tmp_path / name)
    assert columns(read_recording(tmp_path / name)) == columns(EVENTS)


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_is_cut_off_is_named(tmp_path, name):
    path = tmp_path / name
    WRITERS[name](path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(BadImageError, match=name):
        read_recording(path)


def test_what_is_none_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", t=[1, 2], x=[0, 0], p=[0, 0])
    with pytest.raises(BadImageError, match=r"a\.npz': there is no array 'y'"):
        read_recording(tmp_path / "a.npz")
    np.save(tmp_path / "a.npy", np.zeros((3, 5), int))
    with pytest.raises(BadImageError, match=r"shape \(3, 5\) must be \(N, 4\)"):
        read_recording(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.array([[2, 0, 0, 0], [1, 0, 0, 0]]))
    with pytest.raises(BadImageError, match=r"b\.npy': time goes backwards"):
        read_recording(tmp_path / "b.npy")
    (tmp_path / "a.log").write_bytes(b"words")
    with pytest.raises(ValueError, match=r"a\.log' is not a recording, .* names of recordings end in \.aedat, "):
        read_recording(tmp_path / "a.log")


@pytest.mark.parametrize(("name", "package"), [("a.aedat4", "aedat"), ("a.h5", "h5py")])
def test_a_package_that_is_missing_is_named(tmp_path, monkeypatch, name, package):
    monkeypatch.setattr(files, "find_spec", lambda _: None)
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match=f"install another package: pip install {package}"):
        read_recording(tmp_path / name)
