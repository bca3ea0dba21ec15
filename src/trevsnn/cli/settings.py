"""Settings of `trevsnn train` from a file: --recipe NAME or FILE, or the run folder of --resume RUN."""

import math
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from cyclopts import App, ArgumentCollection, Parameter
from cyclopts.config import Dict

from trevsnn._util.checks import is_number
from trevsnn.choices import DATASETS
from trevsnn.cli.network_options import NetworkOptions
from trevsnn.cli.parameters import FLAT, Whole, as_options
from trevsnn.data.variations import Variations
from trevsnn.training.config import SETTINGS, TrainConfig, load_config, parse_config
from trevsnn.training.origins import Origins, flag
from trevsnn.training.recipes import default_recipe, list_recipes, read_recipe
from trevsnn.training.run_record import RunRecord
from trevsnn.training.yielding import yielding

EVENTS = "events"
_TOGETHER = ("epochs", "warmup_epochs", "lr", "min_lr", "warmup_lr")
"""Settings that are checked against each other."""

origins: ContextVar[Origins] = ContextVar("origins", default=Origins())  # noqa: B039 (frozen)
"""Where the settings of the command that is being read come from."""


@dataclass(frozen=True, kw_only=True)
@as_options
class VariationOptions(Variations):
    """How training images are varied, as options."""


@dataclass(frozen=True, kw_only=True)
@as_options
class TrainOptions(TrainConfig):
    """The settings of a run as options."""

    model_options: Annotated[NetworkOptions, FLAT] = NetworkOptions()  # type: ignore[valid-type]  # noqa: RUF009
    augmentation: Annotated[VariationOptions, FLAT] = VariationOptions()

    def __post_init__(self) -> None:
        if isinstance(self.model_options, NetworkOptions):
            given = {name: value for name, value in vars(self.model_options).items() if value is not None}
            object.__setattr__(self, "model_options", given)
        super().__post_init__()


def option_types() -> dict[str, Any]:
    """The types of the options of all settings, by name."""
    parts = (TrainOptions, NetworkOptions, VariationOptions)
    types = {name: hint for part in parts for name, hint in get_type_hints(part, include_extras=True).items()}
    return {name: types[name] for name in SETTINGS}


@dataclass(frozen=True, kw_only=True)
class BaseOptions(TrainOptions):
    """The settings of all runs of a grid as options; the seed is the grid's."""

    seed: Annotated[Whole, Parameter(show=False)] = 0


def settings_from_file(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Fill the options that the command line leaves open from the file that it names, or the data set's own recipe.

    A setting of the file that does not fit one of the command line yields to it. `origins` has what came from where.
    """
    resume, recipe, kind = (_value(arguments, name) for name in ("--resume", "--recipe", "KIND"))
    which = _value(arguments, "--dataset")
    wanted = kind and dataset_name(kind, which)
    given = _given(arguments)
    origins.set(Origins(given=given))
    if resume and recipe:
        raise ValueError("--resume takes its settings from the run; leave --recipe out")
    if resume:
        run = RunRecord(resume)
        source, (dataset, values) = str(run.config), run.read_config()
        words = "settings of the run"
    elif recipe:
        source, (dataset, values) = recipe, _read(recipe)
        words = f"recipe {recipe}"
    elif wanted in DATASETS:
        source = default_recipe(wanted)
        dataset, values = _read(source)
        words = f"recipe {source}, these data's own"
    else:
        return
    notes: list[str] = []
    if not resume:
        _check_numbers(values, words)
        options = {name: _number(arguments, name) for name in given}
        values, notes = yielding(values, options)
        _check({name: value for name, value in values.items() if name not in given}, options, words)
    origins.set(Origins(file=words, from_file=frozenset(values) - given, given=given, notes=tuple(notes)))
    options = {name.replace("_", "-"): value for name, value in values.items()}
    if kind == EVENTS and which is None and dataset is not None and dataset.startswith(f"{EVENTS}/"):
        wanted, options["dataset"] = dataset, dataset.removeprefix(f"{EVENTS}/")
    if dataset is not None and wanted is not None and wanted != dataset:
        raise ValueError(f"{source} is for the dataset {dataset!r}, not {wanted!r}")
    Dict(options, source=source, use_commands_as_keys=False)(app, commands, arguments)


def base_settings_from_file(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """As `settings_from_file`; a seed in the file is left aside, one on the command line refused."""
    if arguments["--seed"].tokens:
        raise ValueError("--seed is for one run; give --seeds, one or several")
    settings_from_file(app, commands, arguments)


def dataset_name(kind: str, dataset: str | None) -> str:
    """The name of a data set, from its kind and which one it is of the kind: events/digits, for example.

    Raises:
        ValueError: when which one is given for a kind that has one only.
    """
    if kind == EVENTS:
        return f"{EVENTS}/{dataset or 'digits'}"
    if dataset is not None:
        raise ValueError(f"dataset={dataset!r} is for events; leave --dataset out for {kind}")
    return kind


def _read(recipe: str) -> tuple[str | None, dict[str, Any]]:
    """A recipe of that name, else of that file, else the settings of that run."""
    if RunRecord(recipe).holds_run():
        return load_config(RunRecord(recipe).config)
    if recipe in list_recipes():
        return parse_config(read_recipe(recipe), recipe)
    if not Path(recipe).exists() and not Path(recipe).suffix and "/" not in recipe:
        read_recipe(recipe)  # says which name is near
    return load_config(recipe)


def _check_numbers(values: Mapping[str, Any], words: str) -> None:
    """Refuse settings of a file that are to be reckoned with and are not numbers.

    Raises:
        ValueError: naming the file.
    """
    for name in _TOGETHER:
        value = values.get(name, 1)
        if not is_number(value) or (name == "lr" and value <= 0):
            raise ValueError(f"{words}: {name}={value!r} must be a finite number{' above 0' if name == 'lr' else ''}")


def _check(values: Mapping[str, Any], given: Mapping[str, float | str | None], words: str) -> None:
    """Refuse settings of a file that are out of range, beside those of the command line.

    Raises:
        ValueError: naming the file.
    """
    together: dict[str, Any] = {name: number for name in _TOGETHER if isinstance(number := given.get(name), float)}
    if "epochs" in together:
        together["epochs"] = int(together["epochs"])
    try:
        TrainConfig(**{**together, **values})
    except ValueError as error:
        if str(error).partition("=")[0] in values:  # what is wrong with the others is told later
            raise ValueError(f"{words}: {error}") from error


def _value(arguments: ArgumentCollection, name: str) -> str | None:
    """What the command line gives for an option or argument."""
    argument = arguments.get(name, None)
    return argument.tokens[0].value if argument is not None and argument.tokens else None


def _given(arguments: ArgumentCollection) -> frozenset[str]:
    """The settings that the command line sets."""
    return frozenset(name for name in SETTINGS if _value(arguments, flag(name)) is not None)


def _number(arguments: ArgumentCollection, field: str) -> float | str | None:
    """What the command line gives for a field, as a number where it is one."""
    value = _value(arguments, flag(field))
    try:
        number = float(value or "")
    except ValueError:
        return value
    return number if math.isfinite(number) else value
