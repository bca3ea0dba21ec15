"""Frames on the disk: made once, and never those of another recording."""

import os

import numpy as np
import pytest

from trevsnn.data import BadImageError, load_dataset
from trevsnn.data.events.cache import CachedFrames, cached
from trevsnn.data.events.preprocessing import FramePreprocessing
from trevsnn.data.loading import missing_frames, prepare_frames

PREPROCESSING = FramePreprocessing(input_size=(2, 32, 32), sensor_size=(32, 32), timesteps=3)


def write(path, seed=0, count=50):
    generator = np.random.default_rng(seed)
    x, y, p = (generator.integers(0, limit, count) for limit in (32, 32, 2))
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, t=np.sort(generator.integers(0, 10**6, count)), x=x, y=y, p=p)


@pytest.fixture
def recordings(tmp_path):
    for name in ("a", "b"):
        for number in range(10):
            write(tmp_path / "data" / name / f"{number}.npz", ord(name) * 100 + number)
    return load_dataset("events/folder", tmp_path / "data", sensor_size=(32, 32)).test


@pytest.fixture
def frames(recordings, tmp_path):
    return CachedFrames(recordings, PREPROCESSING, tmp_path / "frames")


def test_frames_are_the_same_from_the_disk(recordings, frames):
    for index in (0, 13):
        expected = PREPROCESSING.convert(recordings.open(index, 2))
        assert not frames.file(index).exists()
        assert np.array_equal(frames.open(index, 2), expected)
        assert frames.file(index).exists()
        assert np.array_equal(frames.open(index, 2), expected)
        clip = PREPROCESSING.transform()
        assert clip(frames.open(index, 2)).equal(clip(recordings.open(index, 2)))


def test_they_are_read_and_not_made_again(frames, monkeypatch):
    before = frames.open(0, 2)
    monkeypatch.setattr(FramePreprocessing, "convert", None)
    assert np.array_equal(frames.open(0, 2), before)


def test_another_recording_of_that_name_has_frames_of_its_own(frames, tmp_path):
    path, before = frames.source(0).file, frames.open(0, 2)
    status = path.stat()
    write(path, seed=99)
    assert not np.array_equal(frames.open(0, 2), before)
    assert path.stat().st_size == status.st_size
    os.utime(path, ns=(0, 0))  # older than the frames
    write(path, seed=98)
    os.utime(path, ns=(0, 0))
    assert np.array_equal(frames.open(0, 2), PREPROCESSING.convert(frames.samples.open(0, 2)))


def test_damaged_ones_are_made_anew(frames):
    before, file = frames.open(0, 2), frames.file(0)
    content = file.read_bytes()
    date = file.stat().st_mtime_ns
    flipped = [content[:i] + bytes([content[i] ^ 0xFF]) + content[i + 1 :] for i in range(0, len(content), 7)]
    damaged = {b"", b"PK", content[:-30], content[:100] + bytes(50) + content[150:], *flipped}
    for number, damage in enumerate(damaged):
        file.write_bytes(damage)
        os.utime(file, ns=(date, date))
        assert np.array_equal(frames.open(0, 2), before), number


def test_other_frames_lie_elsewhere(recordings, tmp_path):
    places = set()
    for options in ({}, {"timesteps": 4}, {"split_by": "time"}, {"sensor_size": (64, 64)}, {"input_size": (2, 16, 32)}):
        values = {"input_size": (2, 32, 32), "sensor_size": (32, 32), "timesteps": 3, **options}
        places.add(CachedFrames(recordings, FramePreprocessing(**values), tmp_path).file(0))
    assert len(places) == 5


def test_a_disk_that_takes_nothing_costs_time_only(recordings, tmp_path):
    (tmp_path / "frames").write_text("in the way")
    frames = CachedFrames(recordings, PREPROCESSING, tmp_path / "frames")
    assert frames.open(0, 2).shape == (3, 2, 32, 32)
    with pytest.raises(OSError, match="frames"):
        frames.prepare(0)
    assert CachedFrames(recordings, PREPROCESSING, tmp_path / "none", read_only=True).open(0, 2).any()
    assert not (tmp_path / "none").exists()


def test_what_is_no_recording_is_named(frames):
    path = frames.source(3).file
    write(path, count=0)
    with pytest.raises(BadImageError, match=r"3\.npz' cannot be cut into frames: 0 events are too few for 3 frames"):
        frames.open(3, 2)
    np.savez(path, t=[1, 2, 3], x=[0, 1, 32], y=[0, 0, 0], p=[0, 0, 1])
    with pytest.raises(BadImageError, match=r"3\.npz' .* x from 0 to 32 do not fit a sensor of 32 x 32 pixels"):
        frames.open(3, 2)
    path.unlink()
    with pytest.raises(BadImageError, match=r"3\.npz"):
        frames.open(3, 2)


def test_several_processes_at_once(frames):
    at_once = [prepare_frames(frames, [np.arange(20)] * 2, workers=2) for _ in range(2)]
    for parts in zip(*at_once, strict=True):
        assert all(part.failure is None and not part.bad for part in parts)
    assert missing_frames(frames) == []
    assert [int(frames.open(index, 2).sum()) for index in range(20)] == [50] * 20
    assert not list(frames.folder.rglob("*.tmp"))


def test_what_is_missing_is_made_by_each_process_in_part(frames):
    frames.prepare(4)
    shares = [missing_frames(frames, rank, 2) for rank in range(2)]
    assert sorted(np.concatenate([*shares[0], *shares[1]]).tolist()) == [i for i in range(20) if i != 4]
    done = list(prepare_frames(frames, shares[0], workers=0))
    assert sum(part.count for part in done) == sum(map(len, shares[0]))
    assert not any(part.bad or part.failure for part in done)
    assert np.concatenate(missing_frames(frames)).tolist() == np.concatenate(shares[1]).tolist()


def test_bad_recordings_and_a_full_disk_are_told(frames):
    write(frames.source(3).file, count=1)
    (part, *_) = prepare_frames(frames, [np.arange(5)], workers=1)
    assert part.count == 5
    assert len(part.bad) == 1
    assert "3.npz" in part.bad[0]
    frames.folder.rename(frames.folder.with_name("elsewhere"))
    frames.folder.write_text("in the way")
    (part,) = prepare_frames(frames, [np.arange(5)], workers=1)
    assert str(frames.folder) in part.failure


def test_only_recordings_from_files_are_kept(tmp_path):
    data = load_dataset("digits")
    assert cached(data, PREPROCESSING, tmp_path).test is data.test
