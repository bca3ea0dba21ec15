"""Everything that decides how a run comes out, in one readable, re-runnable file."""

import math
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tomli_w
from cyclopts import Parameter

from trevsnn.models.config import InputEncoding, NetworkConfig
from trevsnn.reversible import Memory
from trevsnn.suggest import suggest


def _parse_whole(_: Any, tokens: Sequence[Any]) -> int:
    """For the command line, whose own conversion would round 1.5 to 2."""
    text = str(tokens[0].value)
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is no whole number") from None


Whole = Annotated[int, Parameter(converter=_parse_whole)]
Optimizer = Literal["adamw", "lamb"]
Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of a training run. The options of the network are None where the model's own value holds.

    Raises:
        ValueError: for a value out of range; the message names the field.
    """

    epochs: Whole = 22
    """Passes over the training images."""
    batch_size: Whole = 64
    """Images per optimiser step."""
    seed: Whole = 0
    """Seed of the initial weights, the order of the images and their augmentation."""
    device: Device = "auto"
    """Where to compute; auto takes CUDA where there is a GPU."""

    model: str | None = None
    """Name of the network (see `trevsnn models`); by default the data set's own."""
    timesteps: Whole | None = None
    """Number of time steps T, one subnetwork each; by default the model's own, 4."""
    channels: Annotated[tuple[Whole, ...] | None, Parameter(consume_multiple=True)] = None
    """Channels of each level, as many levels as numbers; by default the model's own."""
    kernel_size: Whole | None = None
    """Size of the depth-wise kernels (pixels, odd); by default the model's own, 3 for digits."""
    depth: Whole | None = None
    """Blocks per level, summed over the subnetworks; 2 per time step by default."""
    input_encoding: InputEncoding | None = None
    """What of the stem's output each step receives: all of it (default), or a group of its channels."""
    aux_heads: bool | None = None
    """Intermediate supervision: classifiers also after earlier steps, in training only; on by default."""
    memory: Memory | None = None
    """What a training step keeps for its backward pass: 2-bit codes (reversible, default) or all. The
    gradients are the same."""
    drop_rate: float | None = None
    """Dropout before the classifiers (0 to 1); 0 by default."""
    drop_path_rate: float | None = None
    """Stochastic depth of the last block of a cell (0 to 1); 0 by default."""

    optimizer: Optimizer = "adamw"
    """Update rule."""
    lr: float = 1e-2
    """Highest learning rate, reached after the warm-up; from there it falls along a cosine."""
    min_lr: float = 1e-6
    """Learning rate of the last step."""
    warmup_epochs: float = 2.0
    """Length of the linear warm-up (epochs, at most all of them)."""
    weight_decay: float = 0.2
    """Decay of the weights; biases, norms and the neurons' decays have none."""
    clip_grad: float = 0.2
    """Adaptive gradient clipping: largest norm of a unit's gradient as a share of its weights'; 0 for none."""
    ema_decay: float = 0.99
    """Decay per step of the moving average of the weights, which is what is evaluated and saved; 0 for none."""
    label_smoothing: float = 0.1
    """Share of the target spread over all classes (0 to 1)."""
    augment: bool = True
    """Shift, rotate and scale the training images a little."""

    def __post_init__(self) -> None:
        if isinstance(self.channels, list):
            object.__setattr__(self, "channels", tuple(self.channels))
        for name in ("epochs", "batch_size"):
            self._require(name, _is_whole(getattr(self, name)) and getattr(self, name) >= 1, "a whole number from 1")
        self._require("seed", _is_whole(self.seed) and 0 <= self.seed < 2**63, "a whole number from 0")
        for name in ("lr", "min_lr", "warmup_epochs", "weight_decay", "clip_grad"):
            value = getattr(self, name)
            self._require(name, _is_number(value) and value >= 0, "a finite number from 0")
        self._require("lr", self.lr > 0, "more than 0")
        self._require("min_lr", self.min_lr <= self.lr, f"at most lr={self.lr}")
        self._require("warmup_epochs", self.warmup_epochs <= self.epochs, f"at most epochs={self.epochs}")
        self._require("ema_decay", _is_number(self.ema_decay) and 0 <= self.ema_decay < 1, "from 0 to less than 1")
        smoothing = self.label_smoothing
        self._require("label_smoothing", _is_number(smoothing) and 0 <= smoothing < 1, "from 0 to less than 1")
        for name, choices in (("optimizer", Optimizer), ("device", Device)):
            self._require(name, getattr(self, name) in get_args(choices), "one of " + ", ".join(get_args(choices)))
        self._require("augment", isinstance(self.augment, bool), "true or false")

    def _require(self, name: str, holds: bool, allowed: str) -> None:
        if not holds:
            raise ValueError(f"{name}={getattr(self, name)!r} must be {allowed}")

    @property
    def model_options(self) -> dict[str, Any]:
        """The options of `create_model` that are set."""
        names = [field.name for field in fields(NetworkConfig) if hasattr(self, field.name)]
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


def dump_config(dataset: str, config: TrainConfig) -> str:
    """The configuration of a run on a data set as TOML; fields that are None are left out."""
    values = {name: value for name, value in asdict(config).items() if value is not None}
    return tomli_w.dumps({"dataset": dataset, **values})


def load_config(path: str | Path) -> tuple[str | None, dict[str, Any]]:
    """(name of the data set, None where the file has none; the fields of `TrainConfig` that it sets).

    Raises:
        ValueError: when the file cannot be read, is no TOML or has an unknown field.
    """
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"config {str(path)!r} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"config {str(path)!r} is no TOML file: {error}") from error
    dataset = values.pop("dataset", None)
    known = [field.name for field in fields(TrainConfig)]
    for name in values:
        if name not in known:
            raise ValueError(f"config {str(path)!r} has the unknown field {name!r}; {suggest(name, known)}")
    return dataset, values


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
