"""`--help` of the commands that train: options in groups, those that a kind of data cannot use left out, and the
defaults that a run really has, which the data set's recipe sets."""

from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from typing import Annotated, Any

from cyclopts import App, Group, Parameter
from rich.console import Console

from trevsnn.choices import DATASETS
from trevsnn.cli.network_options import default_of, help_of
from trevsnn.cli.output import plain_console
from trevsnn.cli.parameters import in_words
from trevsnn.cli.settings import EVENTS, dataset_name
from trevsnn.training.config import NETWORK_OPTIONS, TABLES, parse_config
from trevsnn.training.recipes import default_recipe, list_recipes, read_recipe


def options_of(*names: str) -> str:
    """The options of the command line for settings, with spaces between."""
    return " ".join(names).replace("_", "-")


GROUPS = {
    "Run": "dataset output resume recipe overwrite dry-run json seed device workers checkpoint-minutes "
    "keep-checkpoints questions vary seeds",
    "Data": options_of(*TABLES["data"].values()),
    "Network": options_of("weights", "model", *NETWORK_OPTIONS),
    "Optimisation": "epochs batch-size effective-batch loss tet-regularisation label-smoothing optimizer lr "
    "lr-base-size warmup-lr min-lr warmup-epochs weight-decay clip-grad ema-decay ema-warmup",
    "Precision and speed": "precision compile channels-last",
    "Augmentation": options_of(*TABLES["augmentation"].values()),
}
"""Options by heading; one that stands nowhere is shown after them."""

_FOR_EVENTS = "dataset split-by sensor-size sort-events camera time-unit cache stem-sharing"
_FOR_PICTURES = "crop-scale train-interpolation auto-augment color-jitter mixup cutmix input-encoding channels-last"
_KINDS = (*(name for name in DATASETS if not name.startswith(f"{EVENTS}/")), EVENTS)

PARAMETERS = Parameter(negative_iterable=())  # no --empty-OPTION
_asked: ContextVar[tuple[str, ...]] = ContextVar("asked", default=())


class TrainingHelp(App):
    """An application whose help of a command that trains, or of a part of it, says what holds for the data named."""

    def help_print(
        self,
        tokens: Annotated[str | Iterable[str] | None, Parameter(show=False)] = None,
        *,
        console: Annotated[Console | None, Parameter(parse=False)] = None,
    ) -> None:
        tokens = tokens if tokens is None or isinstance(tokens, str) else tuple(tokens)
        words = tuple(tokens.split()) if isinstance(tokens, str) else tokens or ()
        before = _asked.set(words)
        try:
            super().help_print(tokens, console=console)
        finally:
            _asked.reset(before)
        if words and words[0] in ("train", "ablate"):
            (console or plain_console()).print(_epilogue(words))

    def assemble_argument_collection(
        self, *, default_parameter: Parameter | None = None, parse_docstring: bool = False
    ) -> Any:
        arguments = super().assemble_argument_collection(
            default_parameter=default_parameter, parse_docstring=parse_docstring
        )
        if parse_docstring and self.name[0] in ("train", "ablate"):  # it is for the help
            hidden, defaults = _unused(_asked.get()), _recipe_defaults(_asked.get())
            for argument in arguments:
                name = argument.name.removeprefix("--")
                changes: dict[str, Any] = {"show": False} if name in hidden else {}
                if (option := name.replace("-", "_")) in NETWORK_OPTIONS:
                    changes |= {"help": help_of(option), "show_default": default_of(option)}
                if name in defaults:
                    changes["show_default"] = defaults[name]
                if name in _HEADINGS:
                    changes["group"] = _HEADINGS[name]
                argument.parameter = Parameter.combine(argument.parameter, Parameter(**changes))
        return arguments


def training_app(name: str, command: Callable[..., None], config: Callable[..., None]) -> TrainingHelp:
    """A command that trains, whose settings `config` completes."""
    app = TrainingHelp(name=name, config=config, default_parameter=PARAMETERS, suppress_keyboard_interrupt=False)
    app.default(command)
    return app


_HEADINGS = {
    name: Group(heading, sort_key=number)
    for number, (heading, names) in enumerate(GROUPS.items())
    for name in names.split()
}


def _dataset(words: Sequence[str]) -> str | None:
    """The data set that a command line names, as far as it does."""
    kind = EVENTS if EVENTS in words else next((word for word in words if word in _KINDS), None)
    wanted = None if kind is None else dataset_name(kind, _value(words, "--dataset") if kind == EVENTS else None)
    return wanted if wanted in DATASETS else None


def _value(words: Sequence[str], option: str) -> str | None:
    """What a command line gives for an option."""
    parts = [part for word in words for part in (word.split("=", 1) if word.startswith(f"{option}=") else [word])]
    return parts[parts.index(option) + 1] if option in parts[:-1] else None


def _recipe(words: Sequence[str]) -> str | None:
    """The recipe whose settings would hold; None where no data are named, or a file has the settings."""
    if named := _value(words, "--recipe") or _value(words, "--resume"):
        return named if named in list_recipes() else None
    dataset = _dataset(words)
    return default_recipe(dataset) if dataset else None


def _recipe_defaults(words: Sequence[str]) -> dict[str, Callable[[Any], str]]:
    """What the help shows as the default of each option that the recipe sets, or without data named any recipe."""
    recipe = _recipe(words)
    values = {name: parse_config(read_recipe(name), name)[1] for name in ([recipe] if recipe else list_recipes())}
    fields = {field: value for one in values.values() for field, value in one.items()}
    return {
        field.replace("_", "-"): _always(in_words(value)) if recipe else _recipes_or_own
        for field, value in fields.items()
    }


def _always(text: str) -> Callable[[Any], str]:
    return lambda _: text


def _recipes_or_own(value: Any) -> str:
    return "the recipe's" + ("" if value is None else f", else {in_words(value) or 'none'}")


def _unused(words: Sequence[str]) -> set[str]:
    """Options that cannot be used on the data named."""
    dataset = _dataset(words)
    if dataset is None:
        return set()
    found: set[str] = set((_FOR_PICTURES if dataset.startswith(f"{EVENTS}/") else _FOR_EVENTS).split())
    if dataset in ("digits", f"{EVENTS}/digits"):
        found |= {"data", "cache", "skip-bad-images"}
    if dataset not in ("imagefolder", "webdataset", f"{EVENTS}/cifar10dvs", f"{EVENTS}/folder"):
        found.add("val-split")
    if dataset != f"{EVENTS}/folder":
        found.add("sensor-size")
    return found


def _epilogue(words: Sequence[str]) -> str:
    recipe, dataset = _recipe(words), _dataset(words)
    if recipe is None:
        lines = f"Most defaults are a recipe's, by the kind of data: `trevsnn {words[0]} digits --help` shows them."
    else:
        lines = f"Defaults are those of the recipe {recipe}, which `trevsnn recipes {recipe}` prints."
    return lines if dataset is None else f"{lines} Options that {dataset} data cannot use are left out."
