"""From a recording to the input of a network, as for testing: no chance in it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from trevsnn.data.events.frames import SplitBy, check_on_sensor, count_events, to_frames
from trevsnn.data.events.reading import Reading
from trevsnn.data.events.recording import Events
from trevsnn.data.pictures import BadImageError
from trevsnn.data.preprocessing import restored


@dataclass(frozen=True, kw_only=True)
class FramePreprocessing(Reading):
    """How recordings are read and become clips; it travels with the weights."""

    batch_dim: ClassVar[int] = 1
    """Clips are (T, N, 2, H, W)."""

    input_size: tuple[int, int, int]
    """(2, H, W) of a frame."""
    sensor_size: tuple[int, int]
    """Height and width of the sensor (pixels); events of pixels that share one of a smaller frame are added up."""
    timesteps: int = 8
    """T, frames per recording."""
    split_by: SplitBy = "number"
    """Frames of the same number of events, or of the same time."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "FramePreprocessing":
        """From `asdict`, or what JSON makes of it.

        Raises:
            ValueError: for values that no preprocessing has.
        """
        return restored(cls, values, lambda new: Events(*np.zeros((4, new.timesteps), int)))

    def transform(self) -> Callable[[Events | np.ndarray], Tensor]:
        """From a recording, or what `convert` has made of it, to (T, 2, H, W), float counts."""
        return self._clip

    def convert(self, events: Events) -> np.ndarray:
        """A recording as (T, 2, H, W) counts, uint16.

        Raises:
            ValueError: for fewer events than frames, or events beyond the sensor.
        """
        return to_frames(self._scaled(events), self.timesteps, self.size, self.split_by)

    def convert_named(self, events: Events, name: str) -> np.ndarray:
        """As `convert`.

        Raises:
            BadImageError: naming the recording, for what `convert` refuses.
        """
        try:
            return self.convert(events)
        except ValueError as error:
            raise BadImageError(f"recording {name!r} cannot be cut into frames: {error}") from error

    def frame(self, events: Events) -> Tensor:
        """The events of one window of time, none perhaps -> (1, 2, H, W), float counts: a frame of a batch of one.

        Raises:
            ValueError: for events beyond the sensor.
        """
        first = np.zeros(len(events), np.intp)
        return torch.from_numpy(count_events(self._scaled(events), first, 1, self.size).astype(np.float32))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a frame (pixels)."""
        return self.input_size[1:]

    def _clip(self, recording: Events | np.ndarray) -> Tensor:
        frames = self.convert(recording) if isinstance(recording, Events) else recording
        return torch.from_numpy(frames.astype(np.float32))

    def _scaled(self, events: Events) -> Events:
        """On the pixels of a frame; refused beyond those of the sensor."""
        check_on_sensor(events, self.sensor_size)
        (height, width), (rows, columns) = self.size, self.sensor_size
        if (height, width) == (rows, columns):
            return events
        x = events.x.astype(np.int64) * width // columns
        y = events.y.astype(np.int64) * height // rows
        return Events(events.t, x, y, events.p)
