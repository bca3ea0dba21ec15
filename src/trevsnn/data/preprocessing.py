"""From a picture to the input of a network, as for testing and prediction: no chance in it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize, ToTensor

from trevsnn._util.checks import is_number, is_whole
from trevsnn._util.suggest import in_a_line

_LONGEST = 32
"""Sides of the middle of a picture, to each other, at most."""
Transform = Callable[[Image.Image], Tensor]


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How pictures become inputs; it travels with the weights. The names are those of timm's data configuration."""

    batch_dim: ClassVar[int] = 0
    """Images are (N, C, H, W)."""

    input_size: tuple[int, int, int]
    """(C, H, W) of what the network receives."""
    crop_pct: float = 1.0
    """The share of the shorter side that the central crop keeps, as timm means it: the picture is first resized to
    H / crop_pct."""
    interpolation: str = "bicubic"
    """Of the resizing: bilinear or bicubic."""
    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.5,)
    """Pixels from 0 to 1 are normalised with these, per channel."""
    native_size: tuple[int, int] | None = None
    """Height and width (pixels) to which a picture of any size is reduced first, padded with black to these
    proportions: for networks trained on tiny pictures."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Preprocessing":
        """From `asdict`, or what JSON makes of it.

        Raises:
            ValueError: for values that no preprocessing has.
        """
        return restored(cls, values, lambda new: Image.new("L" if new.input_size[0] == 1 else "RGB", (8, 8)))

    def geometry(self) -> list[Callable[[Image.Image], Image.Image]]:
        """Reduction to the native size, resizing (of very long pictures, of the middle alone) and central crop."""
        size = self.input_size[1:]
        reduce = [] if self.native_size is None else [_Reduce(self.native_size)]
        resize = _ResizeMiddle(math.floor(size[0] / self.crop_pct), InterpolationMode(self.interpolation))
        return [*reduce, resize, CenterCrop(size)]

    def transform(self) -> Transform:
        """Everything, from an L or RGB picture to a (C, H, W) float tensor."""
        return Compose([*self.geometry(), ToTensor(), Normalize(self.mean, self.std)])


class _ResizeMiddle(Resize):
    """Without the ends of very long pictures, which a central crop cuts off: they may be any number of pixels."""

    def forward(self, picture: Image.Image) -> Any:
        longest = _LONGEST * min(picture.size)
        if max(picture.size) > longest + 1:
            width, height = (longest + (side - longest) % 2 if side > longest else side for side in picture.size)
            left, top = (picture.width - width) // 2, (picture.height - height) // 2
            picture = picture.crop((left, top, left + width, top + height))
        return super().forward(picture)


@dataclass(frozen=True)
class _Reduce:
    """Pad to the proportions of a size with black, and reduce to it by averaging."""

    size: tuple[int, int]

    def __call__(self, picture: Image.Image) -> Image.Image:
        height, width = self.size
        scale = min(width / picture.width, height / picture.height)
        if scale * min(picture.size) < 0.5:  # a line would become no pixels at all
            picture = picture.resize(
                tuple(max(1, round(scale * side)) for side in picture.size),  # type: ignore[arg-type]
                Image.Resampling.BOX,
            )
        return ImageOps.pad(picture, (width, height), method=Image.Resampling.BOX, color=0)


_LARGEST_SIDE = 2**14
_MOST_VALUES = 2**27
"""Of an input: what a file says is not to decide alone how much memory is taken."""


def _small(preprocessing: Any) -> Any:
    """As a preprocessing, of a few pixels and one frame.

    Raises:
        ValueError: for sizes that are none, or that no input has.
    """
    sizes = {
        name: getattr(preprocessing, name)
        for name in ("input_size", "native_size", "sensor_size")
        if getattr(preprocessing, name, None) is not None
    }
    for name, size in sizes.items():
        right = isinstance(size, tuple) and len(size) == (3 if name == "input_size" else 2)
        if not right or not all(is_whole(side) and 1 <= side <= _LARGEST_SIDE for side in size):
            raise ValueError(f"{name}={size!r} must be integers from 1 to {_LARGEST_SIDE}")
    reduced: dict[str, Any] = {name: (*size[:-2], 8, 8) for name, size in sizes.items()}
    frames = getattr(preprocessing, "timesteps", None)
    if frames is not None:
        if not (is_whole(frames) and frames >= 1):
            raise ValueError(f"timesteps={frames!r} must be an integer from 1")
        reduced["timesteps"] = 1
    values = (frames or 1) * math.prod(preprocessing.input_size)
    if values > _MOST_VALUES:
        raise ValueError(f"its input has {values:,} values, more than {_MOST_VALUES:,}")
    crop = getattr(preprocessing, "crop_pct", 1.0)
    if not (is_number(crop) and 0.01 <= crop <= 1):
        raise ValueError(f"crop_pct={crop!r} must be from 0.01 to 1")
    return replace(preprocessing, **reduced)


def restored(kind: type[Any], values: Mapping[str, Any], example: Callable[[Any], Any]) -> Any:
    """A preprocessing from `asdict`, or what JSON makes of it.

    Args:
        kind: its class.
        values: its fields.
        example: makes a sample to try it on.

    Raises:
        ValueError: for values that no preprocessing has.
    """
    try:
        preprocessing = kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})
        small = _small(preprocessing)
        small.transform()(example(small))
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"preprocessing {dict(values)!r} is not one: {in_a_line(error)}") from error
    return preprocessing
