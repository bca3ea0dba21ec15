"""Everything that decides how a run comes out, in one readable, re-runnable file."""

import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_args

import tomli_w

from trevsnn._util.checks import is_number, is_whole, require
from trevsnn._util.files import read_text
from trevsnn._util.suggest import suggest
from trevsnn._util.toml import parse_toml
from trevsnn.choices import Device, InputEncoding, Loss, Memory, Optimizer, Precision, SplitBy, TimeUnit
from trevsnn.data.events.reading import Reading
from trevsnn.data.variations import Variations

NETWORK_OPTIONS = (
    "timesteps",
    "channels",
    "kernel_size",
    "depth",
    "two_stream",
    "invert_blocks",
    "stem_sharing",
    "input_encoding",
    "fusion",
    "residual_scale",
    "learn_decay",
    "aux_heads",
    "memory",
    "drop_rate",
    "drop_path_rate",
)
"""Fields that are options of `create_model`."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Variations):
    """Settings of a training run. The options of the network are None where the model's own value holds.

    Raises:
        ValueError: for a value out of range; the message names the field.
    """

    data: Path | None = None
    """Folder that holds the data set; none for digits."""
    val_split: float | None = None
    """Share of the images to test on, of a data set without a split (more than 0, less than 1)."""
    image_size: int | None = None
    """Height and width of what the network receives (pixels); by default the data set's or the model's own."""
    split_by: SplitBy = "number"
    """How recordings are cut into frames: the same number of events in each, or the same time."""
    sensor_size: tuple[int, int] | None = None
    """Height and width of the sensor (pixels), for a folder of recordings; the known data sets have theirs."""
    sort_events: bool = False
    """Sort the events of recordings whose time steps back; otherwise these cannot be read."""
    camera: str | None = None
    """Which camera of recordings of several: its name, number or place in the file."""
    time_unit: TimeUnit = "auto"
    """Of t in recordings that are arrays, where they do not say: integers are microseconds, others seconds."""
    cache: Path | None = None
    """Folder for the frames that recordings are converted to, once; by default .frames in the data folder."""
    skip_bad_images: bool = False
    """List images and recordings that cannot be read in the run folder, and go on without them; otherwise the first
    stops the run."""
    workers: int | None = None
    """Processes that read and augment images, for each training process; by default one per CPU core, at most 8, and
    none for images held in memory."""

    epochs: int = 100
    """Passes over the training images."""
    batch_size: int = 64
    """Images that a process takes at a time; their batch statistics are shared."""
    effective_batch: int | None = None
    """Images per optimiser step, over all processes and with gradients added up over several batches; by default a
    batch of every process."""
    seed: int = 0
    """Seed of the initial weights, the order of the images and their augmentation."""
    device: Device = "auto"
    """Where to compute; auto takes CUDA where there is a GPU."""
    precision: Precision = "fp32"
    """Of the training step; bf16 and fp16 are autocast, with membrane potentials in fp32. Tests are in fp32."""
    compile: bool = False
    """Compile the network with torch.compile: a slow start, then faster steps."""
    channels_last: bool = False
    """Keep weights and images in channels-last memory layout."""
    checkpoint_minutes: float = 10.0
    """Time between two saves of the state within an epoch (minutes); after every epoch it is saved in any case."""
    keep_checkpoints: int = 2
    """Number of saved states to keep, the last ones."""

    weights: Path | None = None
    """Weights to start from: a weights file, or a run folder. Classifiers for other classes are replaced, everything
    else is kept."""
    model: str | None = None
    """Name of the network (see `trevsnn models`); by default the data set's own."""
    timesteps: int | None = None
    """Number of time steps T, one subnetwork each; by default the model's own, 4."""
    channels: tuple[int, ...] | None = None
    """Channels of each level, as many levels as numbers; by default the model's own."""
    kernel_size: int | None = None
    """Size of the depth-wise kernels (pixels, odd); by default the model's own."""
    depth: int | None = None
    """Blocks per level, summed over the subnetworks; 2 per time step by default."""
    two_stream: bool | None = None
    """Blocks with two streams of half the channels, which can be inverted exactly; off by default."""
    invert_blocks: bool | None = None
    """With two_stream: compute the inputs of blocks from their outputs in the backward pass, so that nothing is kept of
    each; off by default. The gradients are the same."""
    stem_sharing: bool | None = None
    """For clips: one stem for all steps (default), or one for each."""
    input_encoding: InputEncoding | None = None
    """What of the stem's output each step receives: all of it (default), or a group of its channels."""
    fusion: bool | None = None
    """Multi-level fusion: a level also receives spikes of the level above; on by default."""
    residual_scale: bool | None = None
    """A learned scale of the residual branch of blocks; on by default."""
    learn_decay: bool | None = None
    """Learn the decays of the key neurons; on by default, otherwise they stay 0.5, or as the weights file has them."""
    aux_heads: bool | None = None
    """Intermediate supervision: classifiers also after earlier steps, in training only; on by default."""
    memory: Memory | None = None
    """What a training step keeps for its backward pass: 2-bit codes (reversible, default), bits in place of spikes
    (packed) or all (stored). The gradients are the same."""
    drop_rate: float | None = None
    """Dropout before the classifiers (0 to 1); 0 by default."""
    drop_path_rate: float | None = None
    """Stochastic depth of the last block of a cell (0 to 1); 0 by default."""

    loss: Loss = "intermediate"
    """Of the classifiers' outputs: intermediate (later ones weigh more, the last counts twice) or tet (all weigh the
    same, and no logit strays far from 1)."""
    tet_regularisation: float = 0.05
    """Share of the second part of the tet loss (0 to 1)."""
    optimizer: Optimizer = "adamw"
    """Update rule."""
    lr: float = 1e-3
    """Learning rate at the top of the cosine along which it falls over the whole run; the warm-up joins it."""
    lr_base_size: int | None = None
    """Images per optimiser step for which `lr` is meant; for more or fewer it is scaled in proportion. By default it is
    taken as it stands."""
    warmup_lr: float = 1e-6
    """Learning rate of the first step."""
    min_lr: float = 1e-6
    """Learning rate of the last step."""
    warmup_epochs: float = 0.0
    """Length of the linear warm-up (epochs, at most all of them)."""
    weight_decay: float = 0.05
    """Decay of the weights; biases, norms and the neurons' decays have none."""
    clip_grad: float = 0.0
    """Adaptive gradient clipping: largest norm of a unit's gradient as a share of its weights'; 0 for none."""
    ema_decay: float = 0.0
    """Decay per step of the moving average of the weights, which is what is evaluated and saved; 0 for none."""
    ema_warmup: bool = True
    """Begin the average with a smaller decay, so that it forgets the first weights sooner."""
    label_smoothing: float = 0.1
    """Share of the target spread over all classes (0 to 1)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("data", "cache", "weights"):
            if getattr(self, name) is not None:  # a run is continued from other folders than it was started in
                self._require(name, isinstance(getattr(self, name), (str, Path)), "a path in quotation marks")
                try:
                    object.__setattr__(self, name, Path(getattr(self, name)).expanduser().absolute())
                except RuntimeError as error:  # ~ of an unknown user
                    raise ValueError(f"{name}={str(getattr(self, name))!r}: {error}") from error
        for name in ("channels", "sensor_size"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        sensor = self.sensor_size
        right = isinstance(sensor, tuple) and len(sensor) == 2 and all(is_whole(side) and side >= 1 for side in sensor)
        self._require("sensor_size", sensor is None or right, "two integers from 1, height and width")
        for name in ("epochs", "batch_size", "keep_checkpoints"):
            self._require(name, is_whole(getattr(self, name)) and getattr(self, name) >= 1, "an integer from 1")
        for name, smallest in (("image_size", 1), ("workers", 0), ("effective_batch", 1), ("lr_base_size", 1)):
            value = getattr(self, name)
            self._require(name, value is None or (is_whole(value) and value >= smallest), f"an integer from {smallest}")
        for name in ("timesteps", "kernel_size", "depth"):  # how large, the network says
            self._require(name, getattr(self, name) is None or is_whole(getattr(self, name)), "an integer")
        right = isinstance(self.channels, tuple) and all(map(is_whole, self.channels))
        self._require("channels", self.channels is None or right, "integers, one per level")
        Reading(sort_events=self.sort_events, camera=self.camera, time_unit=self.time_unit)
        self._require("seed", is_whole(self.seed) and 0 <= self.seed < 2**63, "an integer from 0")
        for name in ("lr", "min_lr", "warmup_lr", "warmup_epochs", "weight_decay", "clip_grad", "checkpoint_minutes"):
            value = getattr(self, name)
            self._require(name, is_number(value) and value >= 0, "a finite number from 0")
        self._require("lr", self.lr > 0, "more than 0")
        for name in ("min_lr", "warmup_lr"):
            lower = f"at most lr={self.lr}; give a lower --{name.replace('_', '-')}"
            self._require(name, getattr(self, name) <= self.lr, lower)
        longest = f"at most epochs={self.epochs}; give a shorter --warmup-epochs, or more --epochs"
        self._require("warmup_epochs", self.warmup_epochs <= self.epochs, longest)
        self._require("ema_decay", is_number(self.ema_decay) and 0 <= self.ema_decay < 1, "from 0 to less than 1")
        share = self.tet_regularisation
        self._require("tet_regularisation", is_number(share) and 0 <= share <= 1, "from 0 to 1")
        smoothing = self.label_smoothing
        self._require("label_smoothing", is_number(smoothing) and 0 <= smoothing < 1, "from 0 to less than 1")
        for name, choices in (
            ("optimizer", Optimizer),
            ("device", Device),
            ("precision", Precision),
            ("loss", Loss),
            ("split_by", SplitBy),
        ):
            self._require(name, getattr(self, name) in get_args(choices), "one of " + ", ".join(get_args(choices)))
        for name in ("skip_bad_images", "compile", "channels_last", "ema_warmup"):
            self._require(name, isinstance(getattr(self, name), bool), "true or false")

    def _require(self, name: str, holds: bool, allowed: str) -> None:
        require(self, name, holds, allowed)

    @property
    def model_options(self) -> dict[str, Any]:
        """The options of `create_model` that are set."""
        return {name: getattr(self, name) for name in NETWORK_OPTIONS if getattr(self, name) is not None}


def dump_config(dataset: str, config: TrainConfig) -> str:
    """The configuration of a run on a data set as TOML; fields that are None are left out."""
    values = {name: str(v) if isinstance(v, Path) else v for name, v in asdict(config).items() if v is not None}
    return tomli_w.dumps({"dataset": dataset, **values})


def load_config(path: str | Path, *, unknown_ok: bool = False) -> tuple[str | None, dict[str, Any]]:
    """(name of the data set, None where the file has none; the fields of `TrainConfig` that it sets).

    Args:
        path: the file.
        unknown_ok: leave out fields that another version of trevsnn has written.

    Raises:
        ValueError: when the file cannot be read, is no TOML or has an unknown field.
    """
    try:
        text = read_text(Path(path))
    except OSError as error:
        raise ValueError(f"recipe {str(path)!r} cannot be read: {error.strerror}") from error
    return parse_config(text, str(path), unknown_ok=unknown_ok)


def parse_config(text: str, source: str, *, unknown_ok: bool = False) -> tuple[str | None, dict[str, Any]]:
    """As `load_config`, from the content of a file; `source` is what messages call it."""
    try:
        values = parse_toml(text)
    except ValueError as error:
        raise ValueError(f"recipe {source!r} is no TOML file: {error}") from error
    dataset = values.pop("dataset", None)
    if not isinstance(dataset, str | None):
        raise ValueError(f"recipe {source!r}: dataset={dataset!r} must be a name in quotation marks")
    known = [field.name for field in fields(TrainConfig)]
    if unknown_ok:
        return dataset, {name: value for name, value in values.items() if name in known}
    for name in values:
        if name not in known:
            place = re.search(rf"^[ \t\"'\[]*{re.escape(name)}\b", text, re.MULTILINE)
            line = "" if place is None else f" in line {text.count(chr(10), 0, place.end()) + 1}"
            raise ValueError(
                f"recipe {source!r} has the unknown field {name!r}{line}; {suggest(name, known)}, or remove it where "
                "another version of trevsnn wrote it"
            )
    return dataset, values
