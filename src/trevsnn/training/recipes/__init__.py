"""The settings that come with the package: a TOML file each."""

from importlib.resources import files

from trevsnn._util.suggest import suggest

_FOLDER = files("trevsnn.training.recipes")
_OF_ITS_OWN = {
    "digits": "digits",
    "cifar10": "cifar10",
    "cifar100": "cifar10",
    "events/cifar10dvs": "cifar10dvs",
    "events/digits": "event_digits",
    "events/dvs128gesture": "dvs128gesture",
    "events/folder": "dvs128gesture",
    "events/nmnist": "nmnist",
}


def list_recipes() -> list[str]:
    """Names that `read_recipe` knows."""
    return sorted(file.name.removesuffix(".toml") for file in _FOLDER.iterdir() if file.name.endswith(".toml"))


def read_recipe(name: str) -> str:
    """The file of that name; its first line says what it is for.

    Raises:
        ValueError: for an unknown name; the message has the nearest right one.
    """
    if name not in list_recipes():
        raise ValueError(f"recipe {name!r} is unknown; {suggest(name, list_recipes())}")
    return (_FOLDER / f"{name}.toml").read_text(encoding="utf-8")


def default_recipe(dataset: str) -> str:
    """What a data set is trained with unless something else is asked for."""
    return _OF_ITS_OWN.get(dataset, "finetune")
