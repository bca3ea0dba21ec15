"""Data sets of recordings, by name."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trevsnn.data.dataset import ImageDataset, Samples
from trevsnn.data.digits import digits
from trevsnn.data.events.digits import SIZE, record_digits
from trevsnn.data.events.preprocessing import FramePreprocessing
from trevsnn.data.events.recording import Events


@dataclass(frozen=True, eq=False)
class RecordedSamples(Samples):
    """Recordings held in memory."""

    recordings: Sequence[Events]
    labels: np.ndarray

    def open(self, index: int, channels: int) -> Events:
        return self.recordings[index]


def event_digits() -> ImageDataset:
    """scikit-learn's handwritten digits before a simulated event camera (see `trevsnn.data.events.digits`)."""
    pictures = digits()
    assert pictures.train is not None, "it has a split of its own"
    return ImageDataset(
        name="events/digits",
        class_names=pictures.class_names,
        train=RecordedSamples(record_digits(pictures.train), pictures.train.labels),
        test=RecordedSamples(record_digits(pictures.test), pictures.test.labels),
        model="trevsnn_dvs",
        preprocessing=FramePreprocessing(input_size=(2, *SIZE), sensor_size=SIZE),
        in_memory=True,
    )
