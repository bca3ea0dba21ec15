"""From a recording to the input of a network, as for testing: no chance in it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from trevsnn.data.events.frames import SplitBy, to_frames
from trevsnn.data.events.recording import Events
from trevsnn.data.preprocessing import restored


@dataclass(frozen=True, kw_only=True)
class FramePreprocessing:
    """How recordings become clips; it travels with the weights."""

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
        return restored(cls, values, lambda _: Events(*(np.zeros(1) for _ in range(4))))

    def transform(self) -> Callable[[Events], Tensor]:
        """From the events of a recording to its frames (T, 2, H, W), float counts."""
        return self._frames

    def _frames(self, events: Events) -> Tensor:
        height, width = self.input_size[1:]
        if (height, width) != self.sensor_size:
            x = events.x.astype(np.int64) * width // self.sensor_size[1]
            y = events.y.astype(np.int64) * height // self.sensor_size[0]
            events = Events(events.t, x, y, events.p)
        return torch.from_numpy(to_frames(events, self.timesteps, (height, width), self.split_by).astype(np.float32))
