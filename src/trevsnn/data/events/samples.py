"""What the data sets of recordings have in common."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from trevsnn._util.suggest import shortened
from trevsnn.data.dataset import Samples, Source
from trevsnn.data.events.files import read_recording
from trevsnn.data.events.preprocessing import FramePreprocessing
from trevsnn.data.events.reading import AS_IT_STANDS, Reading
from trevsnn.data.events.recording import Events
from trevsnn.data.folder import FileSamples
from trevsnn.data.listing import FOLDER, entries_of, kind_of, passed_over

MODEL = "trevsnn_dvs"
DVS128 = (128, 128)
"""Height and width of that sensor (pixels)."""
LARGEST = 128
"""Sensors with longer sides are reduced to frames of this height and width by default (pixels)."""
_OF_SPIKINGJELLY = "download", "extract", "events_np"


@dataclass(frozen=True, eq=False)
class RecordedSamples(Samples):
    """Recordings held in memory."""

    recordings: Sequence[Events]
    labels: np.ndarray

    def open(self, index: int, channels: int) -> Events:
        return self.recordings[index]


@dataclass(frozen=True, eq=False)
class RecordingFiles(FileSamples):
    """One file per recording."""

    reading: Reading = AS_IT_STANDS

    def read_by(self, reading: Reading) -> "RecordingFiles":
        return replace(self, reading=reading)

    def source(self, index: int) -> Source:
        return Source(f"{self.root.name}/{os.fsdecode(self.paths[index])}", self.path(index))

    def open(self, index: int, channels: int) -> Events:
        return read_recording(self.path(index), self.reading)


def frames_of(sensor_size: tuple[int, int]) -> FramePreprocessing:
    """The frames that a sensor's recordings become by default."""
    height, width = sensor_size if max(sensor_size) <= LARGEST else (LARGEST, LARGEST)
    return FramePreprocessing(input_size=(2, height, width), sensor_size=sensor_size)


def unpacked(root: Path, *folders: str) -> Path:
    """The folder in which SpikingJelly keeps the files wanted, where it has laid these data out; else the data's own.

    Raises:
        ValueError: when it has, and they are not there.
    """
    if not root.is_dir():
        return root
    names = [entry.name for entry in entries_of(os.fsencode(root)) if kind_of(entry) == FOLDER]
    names = [os.fsdecode(name) for name in names if passed_over(name) is None]
    if not any(name in _OF_SPIKINGJELLY for name in names) or not all(map(_is_of_spikingjelly, names)):
        return root
    inner = root.joinpath(*folders)
    if not inner.is_dir():
        raise ValueError(
            f"data {str(root)!r} holds {shortened(sorted(names))}, as SpikingJelly lays data out, but not "
            f"{'/'.join(folders)}: give the folder that holds the class folders or the archive's files as --data"
        )
    return inner


def _is_of_spikingjelly(name: str) -> bool:
    return name in _OF_SPIKINGJELLY or name.startswith(("frames_number_", "duration_", "frames_fixed_"))
