"""Settings of `trevsnn train` from a file: --recipe NAME or FILE, or the run folder of --resume RUN."""

from pathlib import Path
from typing import Any

from cyclopts import App, ArgumentCollection
from cyclopts.config import Dict

from trevsnn.data import list_datasets
from trevsnn.training import RunFolder, load_config
from trevsnn.training.config import parse_config
from trevsnn.training.recipes import default_recipe, list_recipes, read_recipe

EVENTS = "events"


def settings_from_file(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Fill the options that the command line leaves open from the file that it names, or the data set's own recipe."""
    resume, recipe, kind = (_value(arguments, name) for name in ("--resume", "--recipe", "KIND"))
    which = _value(arguments, "--dataset")
    wanted = kind and dataset_name(kind, which)
    if resume and recipe:
        raise ValueError("--resume takes its settings from the run; leave --recipe out")
    if resume:
        run = RunFolder(resume)
        source, (dataset, values) = str(run.config), run.read_config()
    elif recipe:
        source, (dataset, values) = recipe, _read(recipe)
    elif wanted in list_datasets():
        source = default_recipe(wanted)
        dataset, values = _read(source)
    else:
        return
    options = {name.replace("_", "-"): value for name, value in values.items()}
    if kind == EVENTS and which is None and dataset is not None and dataset.startswith(f"{EVENTS}/"):
        wanted, options["dataset"] = dataset, dataset.removeprefix(f"{EVENTS}/")
    if dataset is not None and wanted is not None and wanted != dataset:
        raise ValueError(f"{source} is for the dataset {dataset!r}, not {wanted!r}")
    Dict(options, source=source, use_commands_as_keys=False)(app, commands, arguments)


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
    """A recipe of that name, else of that file."""
    if recipe in list_recipes():
        return parse_config(read_recipe(recipe), recipe)
    if not Path(recipe).exists() and not Path(recipe).suffix and "/" not in recipe:
        read_recipe(recipe)  # says which name is near
    return load_config(recipe)


def _value(arguments: ArgumentCollection, name: str) -> str | None:
    """What the command line gives for an option or argument."""
    argument = arguments.get(name, None)
    return argument.tokens[0].value if argument is not None and argument.tokens else None
