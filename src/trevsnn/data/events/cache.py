"""Recordings as frames on the disk: a file each, made once, by whichever process needs it first."""

import os
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from trevsnn._util.files import atomic_path
from trevsnn.data.dataset import LabelledData, Samples, Source
from trevsnn.data.events.preprocessing import FramePreprocessing
from trevsnn.data.events.reading import Reading
from trevsnn.data.fingerprint import SIZE, content_of, has_settled, stand_of

_VERSION = 2
"""To be raised when the same recording comes to be read or cut in another way."""
_MAGIC = b"trevsnn frames: "
_UNKNOWN = bytes(SIZE)


class _Mark(NamedTuple):
    """Of the recording that frames were made from, at the end of their file."""

    stand: bytes
    """As `stand_of`; unknown where the next change might not have changed it."""
    content: bytes
    """As `content_of`."""

    def to_bytes(self) -> bytes:
        return _MAGIC + self.stand + self.content

    @classmethod
    def read(cls, file: IO[bytes]) -> "_Mark | None":
        """Of an open file of frames; None where it has none."""
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - len(_MAGIC) - 2 * SIZE))
        end = file.read()
        start = len(_MAGIC)
        return cls(end[start : start + SIZE], end[start + SIZE :]) if end.startswith(_MAGIC) else None


class CachedFrames(Samples):
    """Frames in place of the recordings that samples are.

    They are taken only while the recording is what it was, by its content; damaged ones are made anew.

    Args:
        samples: recordings, all of which come from files.
        preprocessing: what the frames are for, and how recordings are read.
        folder: of all frames of this data set; made when the first is written.
        read_only: write nothing.
    """

    def __init__(self, samples: Samples, preprocessing: FramePreprocessing, folder: Path, read_only: bool = False):
        self.samples = samples.read_by(preprocessing)
        self.preprocessing, self.read_only = preprocessing, read_only
        self.labels = samples.labels
        size, sensor = (f"{height}x{width}" for height, width in (preprocessing.size, preprocessing.sensor_size))
        cut = f"{preprocessing.timesteps}-by-{preprocessing.split_by}-{size}-of-{sensor}"
        self.folder = folder / f"v{_VERSION}-{cut}{_in_words(preprocessing)}"

    def group_sizes(self) -> Sequence[int]:
        return self.samples.group_sizes()

    def source(self, index: int) -> Source:
        found = self.samples.source(index)
        assert found is not None, "as asked for"
        return found

    def file(self, index: int) -> Path:
        """Where the frames of a recording are kept."""
        return self.folder / f"{self.source(index).name}.npz"

    def is_current(self, index: int) -> bool:
        """Whether the frames are there, and made from the recording as it is now."""
        try:
            with self.file(index).open("rb") as file:
                return self._is_of_now(index, _Mark.read(file))
        except OSError:
            return False

    def open(self, index: int, channels: int) -> np.ndarray:
        """(T, 2, H, W) counts, uint16.

        Raises:
            BadImageError: when the recording cannot be read, or made frames of.
        """
        frames = self._read(index)
        if frames is None:
            frames, mark = self._convert(index)
            if not self.read_only:
                with suppress(OSError):  # a full disk costs time only
                    self._write(index, frames, mark)
        return frames

    def prepare(self, index: int) -> None:
        """Write the frames of a recording.

        Raises:
            BadImageError: when it cannot be read.
            OSError: when they cannot be written.
        """
        self._write(index, *self._convert(index))

    def _convert(self, index: int) -> tuple[np.ndarray, _Mark]:
        name, recording = self.source(index)
        mark = _mark_of(recording)
        frames = self.preprocessing.convert_named(self.samples.open(index, 2), name)
        unchanged = _mark_of(recording) == mark
        return frames, mark if unchanged else _Mark(_UNKNOWN, _UNKNOWN)

    def _write(self, index: int, frames: np.ndarray, mark: _Mark) -> None:
        file = self.file(index)
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(file, shared=True) as temporary:
            with temporary.open("wb") as opened:
                np.savez_compressed(opened, frames=frames)
            with zipfile.ZipFile(temporary, "a") as archive:
                archive.comment = mark.to_bytes()

    def _read(self, index: int) -> np.ndarray | None:
        """The frames, if they are current and can be read."""
        try:
            with self.file(index).open("rb") as file:
                if not self._is_of_now(index, _Mark.read(file)):
                    return None
                file.seek(0)
                with np.load(file, allow_pickle=False) as arrays:
                    return arrays["frames"]
        except Exception:  # a damaged file can fail in any way
            return None

    def _is_of_now(self, index: int, mark: _Mark | None) -> bool:
        """Whether the recording is what it was; where its content had to be looked at, that is noted.

        Raises:
            OSError: when there is not a recording.
        """
        recording = self.source(index).file
        if mark is None or mark.stand == stand_of(recording):
            return mark is not None
        now = _mark_of(recording)
        if now.content != mark.content or now.content == _UNKNOWN:
            return False
        if now.stand != _UNKNOWN and not self.read_only:
            with suppress(OSError), self.file(index).open("r+b") as file:
                file.seek(-len(mark.to_bytes()), os.SEEK_END)
                file.write(now.to_bytes())
        return True


def _mark_of(recording: Path) -> _Mark:
    try:
        stand = stand_of(recording) if has_settled(recording) else _UNKNOWN
        return _Mark(stand, content_of(recording))
    except OSError:  # which is told when it is read
        return _Mark(_UNKNOWN, _UNKNOWN)


def _in_words(reading: Reading) -> str:
    """What is special in how recordings are read, as a part of a file name."""
    parts = ["sorted"] * reading.sort_events + [reading.time_unit] * (reading.time_unit != "auto")
    if reading.camera is not None:
        parts.append(f"camera-{sha256(reading.camera.encode(errors='replace')).hexdigest()[:12]}")
    return "".join(f"-{part}" for part in parts)


def cached(
    data: LabelledData, preprocessing: FramePreprocessing, folder: Path, read_only: bool = False
) -> LabelledData:
    """A data set whose recordings, if they come from files, are frames that are kept in a folder of its own."""

    def frames(samples: Samples | None) -> Samples | None:
        if samples is None or samples.source(0) is None:
            return samples
        return CachedFrames(samples, preprocessing, folder, read_only)

    test = frames(data.test)
    assert test is not None, "every data set has one"
    return replace(data, train=frames(data.train), test=test)
