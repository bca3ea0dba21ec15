"""What a data set is to training, evaluation and prediction."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from trevsnn.data.inventory import Inventory
from trevsnn.data.preprocessing import Preprocessing

if TYPE_CHECKING:
    from trevsnn.data.events.preprocessing import FramePreprocessing
    from trevsnn.data.events.reading import Reading


class Source(NamedTuple):
    """Where a recording comes from."""

    name: str
    """Unlike that of every other recording of the data set; a relative path."""
    file: Path
    """What it is read from."""


class Samples(ABC):
    """Pictures or recordings with their classes, to be opened one by one in any order and from any process."""

    labels: np.ndarray
    """(len,), int64 class indices."""

    def __len__(self) -> int:
        return len(self.labels)

    def group_sizes(self) -> Sequence[int]:
        """How many samples lie next to each other on the disk, group by group, where it is faster to read them so; else
        one group of all."""
        return [len(self)]

    def source(self, index: int) -> Source | None:
        """Where a recording comes from; None for one that comes from no file."""
        return None

    def read_by(self, reading: "Reading") -> "Samples":
        """The same, as recordings that are read so."""
        return self

    @abstractmethod
    def open(self, index: int, channels: int) -> Any:
        """A picture of mode L (1 channel) or RGB (3 channels), or the `Events` of a recording.

        Raises:
            BadImageError: when it cannot be read.
        """


@dataclass(frozen=True, eq=False)
class PixelSamples(Samples):
    """Pictures held in memory."""

    pixels: np.ndarray
    """(N, h, w) grey or (N, h, w, 3) colour values, uint8."""
    labels: np.ndarray

    def open(self, index: int, channels: int) -> Image.Image:
        return Image.fromarray(self.pixels[index]).convert("L" if channels == 1 else "RGB")


@dataclass(frozen=True, kw_only=True)
class LabelledData:
    """A training and a test split of images or recordings, and what is usual to train on them."""

    name: str
    class_names: tuple[str, ...]
    test: Samples
    train: Samples | None = None
    """None where there are only samples to test on."""
    split: str = ""
    """How the test split was drawn, where the data set has none of its own."""
    model: str
    """Name of the network trained on it by default."""
    preprocessing: "Preprocessing | FramePreprocessing | None" = None
    """How its samples are prepared; None for as the network's own default is."""
    in_memory: bool = False
    """Whether an image takes hardly any time to open and prepare."""
    inventory: Inventory = Inventory()  # noqa: RUF009 (frozen)
    """What was left out when it was listed."""
