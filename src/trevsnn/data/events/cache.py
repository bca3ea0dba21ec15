"""Recordings as frames on the disk: a file each, made once, by whichever process needs it first."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from trevsnn.data.dataset import LabelledData, Samples, Source
from trevsnn.data.events.preprocessing import FramePreprocessing
from trevsnn.files import atomic_path

_VERSION = 1
"""To be raised when the same recording comes to be read or cut in another way."""


class CachedFrames(Samples):
    """Frames in place of the recordings that samples are.

    A file has the date of its recording, and is taken only while that is so; a damaged one is made anew.

    Args:
        samples: recordings, all of which come from files.
        preprocessing: what the frames are for.
        folder: of all frames of this data set; made when the first is written.
        read_only: write nothing.
    """

    def __init__(self, samples: Samples, preprocessing: FramePreprocessing, folder: Path, read_only: bool = False):
        self.samples, self.preprocessing, self.read_only = samples, preprocessing, read_only
        self.labels = samples.labels
        size, sensor = (f"{height}x{width}" for height, width in (preprocessing.size, preprocessing.sensor_size))
        self.folder = folder / f"v{_VERSION}-{preprocessing.timesteps}-by-{preprocessing.split_by}-{size}-of-{sensor}"

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
            return self.file(index).stat().st_mtime_ns == self.source(index).file.stat().st_mtime_ns
        except OSError:
            return False

    def open(self, index: int, channels: int) -> np.ndarray:
        """(T, 2, H, W) counts, uint16.

        Raises:
            BadImageError: when the recording cannot be read, or made frames of.
        """
        frames = self._read(index)
        if frames is None:
            frames = self._convert(index)
            if not self.read_only:
                with suppress(OSError):  # a full disk costs time only
                    self._write(index, frames)
        return frames

    def prepare(self, index: int) -> None:
        """Write the frames of a recording.

        Raises:
            BadImageError: when it cannot be read.
            OSError: when they cannot be written.
        """
        self._write(index, self._convert(index))

    def _convert(self, index: int) -> np.ndarray:
        return self.preprocessing.convert_named(self.samples.open(index, 2), self.source(index).name)

    def _write(self, index: int, frames: np.ndarray) -> None:
        file = self.file(index)
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(file, shared=True) as temporary, temporary.open("wb") as opened:
            np.savez_compressed(opened, frames=frames)
            date = self.source(index).file.stat().st_mtime_ns
            os.utime(temporary, ns=(date, date))

    def _read(self, index: int) -> np.ndarray | None:
        """The frames, if they are current and can be read."""
        if not self.is_current(index):
            return None
        try:
            with self.file(index).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return arrays["frames"]
        except Exception:  # a damaged file can fail in any way
            return None


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
