"""The elementary operations of a deployed network (see `trevsnn.deployment.plan`)."""

from dataclasses import dataclass

import numpy as np

from trevsnn.neurons import Neuron

INPUT = "input"
OUTPUT = "logits"


@dataclass(frozen=True, kw_only=True)
class Operation:
    """Makes the tensor `name`, of `shape` without the batch, from `inputs`."""

    name: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]

    @property
    def input(self) -> str:
        """The first one, where there is one only."""
        return self.inputs[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class Convolve(Operation):
    """Convolution of zero-padded input."""

    parameters: str
    """Name of weight and bias, the same for operations that share them."""
    weight: np.ndarray
    """(C_out, C_in / groups, k_h, k_w), float32."""
    bias: np.ndarray
    """(C_out,), float32."""
    stride: int
    padding: tuple[int, int, int, int]
    """Top, left, bottom, right (pixels)."""
    groups: int = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Leak(Operation):
    """The membrane potential of the step before, times its decay."""

    decay: np.ndarray
    """(C,), float32."""


@dataclass(frozen=True, kw_only=True)
class Spikes(Operation):
    """1.0 where input >= threshold, else 0.0."""

    neuron: Neuron
    key: bool = False
    """Of the key neurons of a level, at a step."""


@dataclass(frozen=True, kw_only=True)
class Add(Operation):
    """Sum of two tensors of one shape."""


@dataclass(frozen=True, kw_only=True)
class Round(Operation):
    """Input rounded to multiples of `layers.two_stream.STEP`, at most `LIMIT` in size."""


@dataclass(frozen=True, kw_only=True)
class Half(Operation):
    """The first or the last half of the channels."""

    last: bool


@dataclass(frozen=True, kw_only=True)
class Concatenate(Operation):
    """The channels of all inputs, one after the other."""


@dataclass(frozen=True, kw_only=True)
class Double(Operation):
    """Nearest up-sampling of height and width by 2."""


@dataclass(frozen=True, kw_only=True)
class Crop(Operation):
    """These rows and columns of the input."""

    rows: slice
    columns: slice


@dataclass(frozen=True, kw_only=True)
class Surround(Operation):
    """Input with zeros around it."""

    padding: tuple[int, int, int, int]
    """Top, left, bottom, right (pixels)."""


@dataclass(frozen=True, kw_only=True)
class Frame(Operation):
    """Frame `step` of the clip."""

    step: int


@dataclass(frozen=True, kw_only=True)
class SpatialMean(Operation):
    """Mean over height and width, (C, 1, 1)."""


@dataclass(frozen=True, kw_only=True)
class StepMean(Operation):
    """Mean of the inputs, element by element."""


@dataclass(frozen=True, kw_only=True)
class Flatten(Operation):
    """(C, 1, 1) -> (C,)."""


def just_below(threshold: float) -> np.float32:
    """The largest float32 at which a neuron does not fire."""
    return np.nextafter(np.float32(threshold), np.float32(-np.inf))
