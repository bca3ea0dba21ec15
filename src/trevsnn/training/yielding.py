"""What a recipe says yields where it does not fit what the user says, or the data; what the user says is refused."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trevsnn.training.config import NETWORK_OPTIONS, TrainConfig
from trevsnn.training.origins import Origins, flag

if TYPE_CHECKING:
    from trevsnn.data import LabelledData

_OF_THE_TRAINING = {"drop_rate", "drop_path_rate", "memory", "invert_blocks"}
"""Options of the network that say nothing of the shape of its weights."""
_SHAPE = {"model", *NETWORK_OPTIONS} - _OF_THE_TRAINING


def yielding(recipe: Mapping[str, Any], given: Mapping[str, float | str | None]) -> tuple[dict[str, Any], list[str]]:
    """A recipe beside the options of a command line.

    Args:
        recipe: its fields.
        given: fields of the command line, numbers where they are such.

    Returns:
        The recipe as it fits, and a line for every change.
    """
    values, notes = dict(recipe), []
    if "weights" in given:
        notes += _to_weights(values, given)
    if "model" in given:
        notes += _to_model(values, given)
    warmup, epochs = values.get("warmup_epochs", 0.0), given.get("epochs")
    if "warmup_epochs" not in given and isinstance(epochs, float) and warmup > epochs / 2 > 0:
        values["warmup_epochs"] = warmup * epochs / max(warmup, values.get("epochs", TrainConfig.epochs))
        notes.append(_instead("warmup_epochs", values["warmup_epochs"], warmup, f"of {epochs:g} epochs"))
    epochs = values.get("epochs", TrainConfig.epochs)
    warmup = given.get("warmup_epochs")
    if "epochs" not in given and isinstance(warmup, float) and warmup > epochs:
        values["epochs"] = int(-(-warmup // 1))
        notes.append(_instead("epochs", values["epochs"], epochs, f"for {warmup:g} of warm-up"))
    lr, lr_before = given.get("lr"), values.get("lr", TrainConfig.lr)
    for name in ("warmup_lr", "min_lr"):
        before = values.get(name, getattr(TrainConfig, name))
        if name not in given and isinstance(lr, float) and 0 < lr < before:
            values[name] = before * lr / lr_before
            notes.append(_instead(name, values[name], before, f"below --lr {lr:g}"))
    return values, notes


def _to_model(values: dict[str, Any], given: Mapping[str, Any]) -> list[str]:
    from trevsnn.models import list_models, option_names  # PyTorch, which the other settings do not need

    model = given["model"]
    if model not in list_models():
        return []  # which is refused later
    unknown = [name for name in values if name in NETWORK_OPTIONS and name not in {*option_names(model), *given}]
    return _dropped(values, unknown, f"{model} has no such option")


def _to_weights(values: dict[str, Any], given: Mapping[str, Any]) -> list[str]:
    from trevsnn.models import read_weights_info, weights_file  # PyTorch, too

    info = read_weights_info(weights_file(Path(str(given["weights"]))))
    names = [name for name in values if name in _SHAPE and name in {"model", *info.options}]
    if info.preprocessing is not None and "image_size" in values:
        names.append("image_size")
    if "model" in given and given["model"] != info.model:
        names = [name for name in names if name == "image_size"]
    return _dropped(values, [name for name in names if name not in given], "the weights have their own")


def _dropped(values: dict[str, Any], names: list[str], why: str) -> list[str]:
    for name in names:
        del values[name]
    return [f"left out of the recipe, as {why}: {', '.join(names)}"] if names else []


def _instead(name: str, now: float, before: float, why: str) -> str:
    return f"{name} {now:.3g} in place of the recipe's {before:g}, {why} ({flag(name)} decides otherwise)"


def fit_to_data(
    config: TrainConfig, dataset: "LabelledData", origins: Origins, world: int
) -> tuple[TrainConfig, Origins]:
    """Steps that so many processes can take on so few images, where they do not come from the user.

    What the user asks for stays, and is refused later where it cannot be.
    """
    images, notes = len(dataset.train or ()), []

    def change(name: str, value: int, why: str) -> None:
        nonlocal config
        notes.append(f"{name} {value} in place of {getattr(config, name)}, {why} ({flag(name)} decides otherwise)")
        config = replace(config, **{name: value})

    if "batch_size" not in origins.given and config.batch_size * world > images >= world:
        change("batch_size", images // world, f"for {images} images to train on")
    effective, together = config.effective_batch, config.batch_size * world
    if effective is not None and "effective_batch" not in origins.given:
        fits = min(effective, images) // together * together
        if fits and fits != effective:
            change("effective_batch", fits, f"a multiple of {together} that {images} images to train on have")
    elif effective is not None and "batch_size" not in origins.given and effective % together:
        batch = fitting_batch(config.batch_size, effective, world)
        if batch is not None:
            change("batch_size", batch, f"for steps of {effective} images")
    return config, replace(origins, notes=(*origins.notes, *notes))


def fitting_batch(wanted: int, effective: int, world: int) -> int | None:
    """The largest batch, of so many images at most, in which processes can share out a step; None where none is."""
    return next((n for n in range(min(wanted, effective), 0, -1) if effective % (n * world) == 0), None)
