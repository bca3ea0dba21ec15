"""Everything that decides how a run comes out, in one readable, re-runnable file.

Every setting has one name: as an option of the command line, as a keyword of `TrainConfig`, and in a file, where those
of the data, the network and the augmentation stand in tables of their own.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import tomli_w

from trevsnn._util.checks import require, typed
from trevsnn._util.files import read_text
from trevsnn._util.suggest import suggest
from trevsnn._util.toml import parse_toml
from trevsnn.choices import Device, Loss, Optimizer, Precision, SplitBy, TimeUnit
from trevsnn.data.events.reading import Reading
from trevsnn.data.variations import Variations
from trevsnn.models.config import CONFIGS

_BY_THE_DATA = {"num_classes", "in_chans", "frames"}
NETWORK_OPTIONS: Mapping[str, Any] = {
    name: hint for config in CONFIGS for name, hint in get_type_hints(config).items() if name not in _BY_THE_DATA
}
"""The options of all named networks that the data do not decide, and their types."""

Config = TypeVar("Config")


def _settings_by_name(config: type[Config]) -> type[Config]:
    """Let what stands in a group of settings be given by its own name too: `hflip=0.5`, `timesteps=2`."""
    create: Callable[..., None] = config.__init__

    @wraps(create)
    def __init__(self: Any, **settings: Any) -> None:
        options = {**settings.pop("model_options", {}), **_taken(settings, NETWORK_OPTIONS)}
        settings["model_options"] = {name: value for name, value in options.items() if value is not None}
        if varied := _taken(settings, _VARIATIONS):
            settings["augmentation"] = Variations(**asdict(settings.get("augmentation", Variations())) | varied)
        create(self, **settings)

    config.__init__ = __init__
    return config


def _taken(settings: dict[str, Any], names: Any) -> dict[str, Any]:
    """Those of these names, which are in `settings` no longer."""
    return {name: settings.pop(name) for name in list(settings) if name in names}


@_settings_by_name
@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of a training run. What stands in `model_options` or `augmentation` can also be given by its own name.

    Raises:
        ValueError: for a value out of range; the message names the setting.

    Examples:
        >>> config = TrainConfig(epochs=3, timesteps=2, hflip=0.5)
        >>> config.model_options["timesteps"], config.augmentation.hflip
        (2, 0.5)
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
    model_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the network, by name (see `NETWORK_OPTIONS`), where its own values shall not hold."""

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

    augmentation: Variations = Variations()  # noqa: RUF009 (frozen)
    """How training images are varied."""

    def __post_init__(self) -> None:
        for name, hint in _HINTS.items():
            object.__setattr__(self, name, typed(name, getattr(self, name), hint))
        for name in self.model_options:
            if name not in NETWORK_OPTIONS:
                raise ValueError(f"{name!r} is not an option of a network; {suggest(name, list(NETWORK_OPTIONS))}")
        options = {name: typed(name, value, NETWORK_OPTIONS[name]) for name, value in self.model_options.items()}
        object.__setattr__(self, "model_options", options)
        Reading(sort_events=self.sort_events, camera=self.camera, time_unit=self.time_unit)
        self._check_ranges()

    def _check_ranges(self) -> None:
        from_1 = ("epochs", "batch_size", "keep_checkpoints", "image_size", "effective_batch", "lr_base_size")
        from_0 = ("workers", "seed", "lr", "min_lr", "warmup_lr", "warmup_epochs", "weight_decay", "clip_grad")
        for smallest, names in ((1, from_1), (0, (*from_0, "checkpoint_minutes"))):
            for name in names:
                value = getattr(self, name)
                self._require(name, value is None or value >= smallest, f"{smallest} or more")
        sides = self.sensor_size or (1, 1)
        self._require("sensor_size", min(sides) >= 1, "two integers from 1, height and width")
        self._require("seed", self.seed < 2**63, "less than 2^63")
        self._require("lr", self.lr > 0, "more than 0")
        for name in ("min_lr", "warmup_lr"):
            lower = f"at most lr={self.lr}; give a lower --{name.replace('_', '-')}"
            self._require(name, getattr(self, name) <= self.lr, lower)
        longest = f"at most epochs={self.epochs}; give a shorter --warmup-epochs, or more --epochs"
        self._require("warmup_epochs", self.warmup_epochs <= self.epochs, longest)
        self._require("tet_regularisation", 0 <= self.tet_regularisation <= 1, "from 0 to 1")
        for name in ("ema_decay", "label_smoothing"):
            self._require(name, 0 <= getattr(self, name) < 1, "from 0 to less than 1")

    def _require(self, name: str, holds: bool, allowed: str) -> None:
        require(self, name, holds, allowed)

    def by_name(self) -> dict[str, Any]:
        """All settings by their own names, those of the network that are set among them."""
        values = {item.name: getattr(self, item.name) for item in fields(TrainConfig)}
        return values | values.pop("model_options") | asdict(values.pop("augmentation"))

    def changed(self, **settings: Any) -> "TrainConfig":
        """The same with other settings, by their own names.

        Raises:
            ValueError: as the class.
        """
        return TrainConfig(**self.by_name() | settings)


_HINTS = get_type_hints(TrainConfig)
_VARIATIONS = tuple(item.name for item in fields(Variations))
_GROUPS = {"model_options": NETWORK_OPTIONS, "augmentation": _VARIATIONS}
SETTINGS = tuple(name for item in fields(TrainConfig) for name in _GROUPS.get(item.name, (item.name,)))
"""The names of all settings of a run."""

_READING = ("split_by", "sensor_size", "sort_events", "camera", "time_unit", "cache", "skip_bad_images")
TABLES: Mapping[str, Mapping[str, str]] = {
    "data": {"folder": "data", **{name: name for name in ("val_split", "image_size", *_READING)}},
    "model": {"name": "model", "weights": "weights", **{name: name for name in NETWORK_OPTIONS}},
    "augmentation": {name: name for name in _VARIATIONS},
}
"""What stands in a table of a file: for every key there the name of the setting."""


def dump_config(dataset: str, config: TrainConfig) -> str:
    """The configuration of a run on a data set as TOML; settings that are None are left out."""
    values = {name: str(v) if isinstance(v, Path) else v for name, v in config.by_name().items() if v is not None}
    tables = {
        table: {key: values.pop(name) for key, name in keys.items() if name in values} for table, keys in TABLES.items()
    }
    return tomli_w.dumps({"dataset": dataset, **values, **{name: table for name, table in tables.items() if table}})


def load_config(path: str | Path, *, unknown_ok: bool = False) -> tuple[str | None, dict[str, Any]]:
    """(name of the data set, None where the file has none; the settings in the file, by name).

    Args:
        path: the file. All settings may also stand outside of tables, by their own names.
        unknown_ok: leave out settings that another version of trevsnn has written.

    Raises:
        ValueError: when the file cannot be read, is not TOML or has an unknown setting.
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
        hint = "; a name stands there twice" if "overwrite" in str(error) else ""
        raise ValueError(f"recipe {source!r} is not a TOML file: {error}{hint}") from error
    dataset = values.pop("dataset", None)
    if not isinstance(dataset, str | None):
        raise ValueError(f"recipe {source!r}: dataset={dataset!r} must be a name in quotation marks")
    found: dict[str, Any] = {}
    for place, keys, given in _places(values):
        for key, value in given.items():
            name = keys.get(key)
            if name in found:
                raise ValueError(f"recipe {source!r} has {name} twice; remove one of them")
            if name is not None:
                found[name] = value
            elif not unknown_ok:
                table = isinstance(value, dict) and not place
                near = suggest(key, list(TABLES)) if table else _elsewhere(key, place) or suggest(key, list(keys))
                raise ValueError(
                    f"recipe {source!r} has the unknown {'table' if table else 'field'} "
                    f"{key!r}{_line(text, place, key)}; {near}, or remove it where another version of trevsnn wrote it"
                )
    return dataset, found


def _places(values: dict[str, Any]) -> list[tuple[str, Mapping[str, str], dict[str, Any]]]:
    """The parts of a file: name of the table, empty outside of tables; the keys that it may have; what it holds."""
    tables = {name: values.pop(name) for name in TABLES if isinstance(values.get(name), dict)}
    outside = {name: name for name in SETTINGS}
    return [("", outside, values), *((name, TABLES[name], table) for name, table in tables.items())]


def _elsewhere(key: str, place: str) -> str:
    """Where a key belongs that stands in the wrong table; empty for nowhere."""
    if place and key in SETTINGS:
        table = next((name for name, keys in TABLES.items() if key in keys.values()), None)
        return f"it belongs {f'into [{table}]' if table else 'above all tables'}"
    return ""


def _line(text: str, place: str, key: str) -> str:
    """The line of a key, in words; empty where it is not found."""
    table = re.search(rf"^[ \t]*\[[ \t]*{place}[ \t]*\]", text, re.MULTILINE) if place else None
    found = re.compile(rf"^[ \t\"'\[]*{re.escape(key)}\b", re.MULTILINE).search(text, table.end() if table else 0)
    return "" if found is None else f" in line {text.count(chr(10), 0, found.end()) + 1}"
