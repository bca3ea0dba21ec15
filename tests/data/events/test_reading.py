"""Recordings as people have them: under other names, in other units and orders, of several cameras, with clocks that
step back; and frames that are made anew when a recording has changed, whatever its date says."""

import json
import os
from dataclasses import asdict, replace
from importlib.util import find_spec

import h5py
import numpy as np
import pytest
import torch

from trevsnn.data.events import Events, read_recording
from trevsnn.data.events.cache import CachedFrames
from trevsnn.data.events.preprocessing import FramePreprocessing
from trevsnn.data.events.reading import Reading
from trevsnn.data.events.samples import RecordingFiles

N = 200
T, X, Y = np.arange(N) * 1_000 + 5, np.arange(N) % 64, np.arange(N) // 4
P = np.arange(N) % 2


def assert_read(path, reading=None, t=T):
    events = read_recording(path, *([] if reading is None else [reading]))
    for column, expected in zip(events.columns(), (t, X, Y, P), strict=True):
        np.testing.assert_array_equal(column, expected)


@pytest.mark.parametrize(
    "names",
    [
        ("t", "x", "y", "p"),
        ("ts", "xs", "ys", "ps"),
        ("timestamp", "x", "y", "polarity"),
        ("timestamps", "x", "y", "pol"),
    ],
)
def test_customary_names(tmp_path, names):
    np.savez(tmp_path / "a.npz", **dict(zip(names, (T, X, Y, P), strict=True)))
    assert_read(tmp_path / "a.npz")
    kinds = list(zip(names, ("<i8", "<i2", "<i2", "?"), strict=True))
    np.save(tmp_path / "a.npy", np.array(list(zip(T, X, Y, P, strict=True)), kinds))
    assert_read(tmp_path / "a.npy")


@pytest.mark.parametrize("place", ["events", "CD/events", "davis/left/events"])
@pytest.mark.parametrize("kind", ["group", "array"])
def test_customary_places_in_hdf5(tmp_path, place, kind):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        if kind == "group":
            for name, column in zip("txyp", (T, X, Y, P), strict=True):
                file[f"{place}/{name}"] = column
        else:
            kinds = [("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")]
            file[place] = np.array(list(zip(X, Y, P, T, strict=True)), kinds)
    assert_read(tmp_path / "a.h5")


def test_two_cameras_are_named_and_one_can_be_chosen(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for side, shift in (("left", 0), ("right", 1)):
            for name, column in zip("txyp", (T + shift, X, Y, P), strict=True):
                file[f"davis/{side}/events/{name}"] = column
    with pytest.raises(ValueError, match=r"events of 2 cameras, .*left.*right.*choose one by --camera NAME"):
        read_recording(tmp_path / "a.h5")
    assert_read(tmp_path / "a.h5", Reading(camera="right"), T + 1)


@pytest.mark.parametrize("order", ["txyp", "xytp"])
def test_columns_of_one_array_in_either_order(tmp_path, order):
    columns = dict(zip("txyp", (T, X, Y, P), strict=True))
    np.save(tmp_path / "a.npy", np.stack([columns[name] for name in order], 1))
    assert_read(tmp_path / "a.npy")


def test_seconds_and_signed_polarities(tmp_path):
    np.savez(tmp_path / "a.npz", t=T / 1e6, x=X, y=Y, p=2 * P - 1)
    assert_read(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", t=T * 1_000, x=X, y=Y, p=P)
    assert_read(tmp_path / "b.npz", Reading(time_unit="ns"))


def test_what_a_file_holds_is_said(tmp_path):
    np.savez(tmp_path / "a.npz", pictures=np.zeros((3, 2, 8, 8)), labels=np.zeros(3))
    with pytest.raises(ValueError, match=r"a\.npz.*pictures.*3, 2, 8, 8"):
        read_recording(tmp_path / "a.npz")


@pytest.mark.parametrize(("number", "name"), [(32_015, "zstd"), (32_001, "blosc"), (511, "511")])
def test_a_filter_that_is_missing_is_named(tmp_path, number, name):
    if find_spec("hdf5plugin") and number != 511:
        pytest.skip("hdf5plugin is installed and has it")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for column in "txyp":
            properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            properties.set_chunk((N,))
            properties.set_filter(number, h5py.h5z.FLAG_OPTIONAL, ())
            space = h5py.h5s.create_simple((N,))
            data = h5py.h5d.create(file.id, column.encode(), h5py.h5t.NATIVE_INT64, space, properties)
            data.write_direct_chunk((0,), bytes(100), filter_mask=0)  # what the filter would have made
    with pytest.raises(ValueError, match=rf"(?i)a\.h5.*{name}.*(hdf5plugin|h5repack)"):
        read_recording(tmp_path / "a.h5")


@pytest.mark.parametrize("kind", [np.int64, np.float64])
@pytest.mark.parametrize("counter", [2**31, 2**32])
def test_one_wrap_of_a_counter_is_undone(tmp_path, counter, kind):
    t = (T + counter - T[N // 2]) % counter
    np.savez(tmp_path / "a.npz", t=t.astype(kind), x=X, y=Y, p=P)
    assert_read(tmp_path / "a.npz", t=T + counter - T[N // 2])


@pytest.mark.parametrize("kind", [np.int64, np.float64])
def test_time_that_steps_back_is_refused_or_sorted(tmp_path, kind):
    t = T.astype(kind)
    t[[50, 51]] = t[[51, 50]]
    np.savez(tmp_path / "a.npz", t=t, x=X, y=Y, p=P)
    with pytest.raises(ValueError, match=r"a\.npz.*backwards.*--sort-events"):
        read_recording(tmp_path / "a.npz")
    events = read_recording(tmp_path / "a.npz", Reading(sort_events=True))
    np.testing.assert_array_equal(events.t, T)
    assert events.x[50] == X[51]


def test_an_archive_without_its_end_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", t=T, x=X, y=Y, p=P)
    for size, what in ((3000, "cut off, or no .npz file"), (0, "empty")):
        (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:size])
        with pytest.raises(ValueError, match=rf"a\.npz': it is {what}.*; copy it again"):
            read_recording(tmp_path / "a.npz")


def test_hdf5_without_its_end_or_in_use_is_told_apart(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["events"] = np.stack([T, X, Y, P], 1)
    content = path.read_bytes()
    for rest, what in (
        (content[:-100], "cut off, or still being written"),
        (b"no" * 600, "not an HDF5 file, or damaged"),
    ):
        path.write_bytes(rest)
        with pytest.raises(ValueError, match=rf"a\.h5': it is {what}.*; copy it again"):
            read_recording(path)


def test_text_is_no_recording_whatever_its_name(tmp_path):
    for text in (b"57 3 4 1\n60 3 4 0\n", b"t,x,y,p\r\n57,3,4,1\r\n", b"5.7e-05\t3\t4\t-1\n"):
        (tmp_path / "a.dat").write_bytes(text)
        with pytest.raises(ValueError, match=r"a\.dat' is text: save its columns by np\.savez"):
            read_recording(tmp_path / "a.dat")


def test_frames_follow_the_content_of_a_recording_whatever_its_date(tmp_path):
    path = tmp_path / "data" / "a.npz"
    path.parent.mkdir()
    preprocessing = FramePreprocessing(input_size=(2, 64, 64), sensor_size=(64, 64), timesteps=2)
    frames = CachedFrames(
        RecordingFiles(path.parent, np.array([b"a.npz"]), np.zeros(1, np.int64)), preprocessing, tmp_path / "cache"
    )
    np.savez(path, t=T, x=X, y=Y, p=P)
    status, before = path.stat(), frames.open(0, 2)
    assert frames.is_current(0)
    np.savez(path, t=T, x=X, y=Y, p=1 - P)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    assert not frames.is_current(0), "another content of the same size and date"
    assert not np.array_equal(frames.open(0, 2), before)
    os.utime(path, ns=(0, 0))
    assert frames.is_current(0), "another date of the same content"
    sorting = CachedFrames(frames.samples, replace(preprocessing, sort_events=True), tmp_path / "cache")
    assert not sorting.is_current(0)


@pytest.mark.parametrize("split_by", ["number", "time"])
def test_the_preprocessing_of_weights_makes_frames_of_windows(split_by):
    preprocessing = FramePreprocessing(input_size=(2, 64, 64), sensor_size=(64, 64), timesteps=4, split_by=split_by)
    restored = FramePreprocessing.from_dict(json.loads(json.dumps(asdict(preprocessing))))
    assert restored == preprocessing
    events = Events(T, X, Y, P)
    windows = list(events.windows(number=50) if split_by == "number" else events.windows(50_000))
    frames = torch.cat([restored.frame(window) for window in windows])
    np.testing.assert_array_equal(frames.numpy(), restored.convert(events))
