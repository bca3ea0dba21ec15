"""Networks by name: what `create_model` here and `timm.create_model` build is the same."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import timm
import torch

from trevsnn._util.suggest import in_a_line, shortened, suggest
from trevsnn.models.base import ReversibleNetwork, SpikingNetwork
from trevsnn.models.fitting import check_fit
from trevsnn.models.weights import WeightsInfo, load_tensors_into, read_weights_info, weights_file

FAMILIES: dict[str, type[SpikingNetwork]] = {}
"""The class of each named network; `trevsnn.models.presets` has them all."""


def list_models() -> list[str]:
    """Names that `create_model` knows; those of SpikingJelly's networks where it is installed."""
    names = (name for name, family in FAMILIES.items() if family.is_installed())
    return sorted(names, key=lambda name: (FAMILIES[name].package is not None, name))


def create_model(name: str, *, checkpoint: str | Path | None = None, **options: Any) -> SpikingNetwork:
    """Build a network by name.

    Args:
        name: one of `list_models()`.
        checkpoint: weights file to load, or a folder that holds one: a run's, or of a network from the hub. Its
            options hold for all that `options` leaves out; with another num_classes, the classifiers are new.
        **options: any field of the configuration of its family, `NetworkConfig` for a T-RevSNN; None stands for the
            network's own value.

    Raises:
        ValueError: for an unknown name or option (the message has the nearest right one), a bad value, a missing
            package, or a checkpoint that cannot be read or does not fit.

    Examples:
        >>> model = create_model("trevsnn_digits", timesteps=2)
        >>> model.config.timesteps
        2
    """
    family, known = _family(name), sorted(option_names(name))
    for option in options:
        if option not in known:
            raise ValueError(f"{option!r} is not an option of {name}; {suggest(option, known)}")
    options = {key: value for key, value in options.items() if value is not None}
    if checkpoint is not None:
        return _with_weights(name, weights_file(checkpoint), options)
    model = timm.create_model(name, **options)
    assert isinstance(model, family)
    return model


def option_names(name: str) -> set[str]:
    """The options of the network of this name.

    Raises:
        ValueError: as `create_model`.
    """
    return {field.name for field in fields(_family(name).config_type)}


def load_weights(path: str | Path, device: str | torch.device = "cpu") -> tuple[SpikingNetwork, WeightsInfo]:
    """The network of a weights file, in eval mode, and its description.

    Raises:
        ValueError: as `read_weights_info`, and when the entries do not fit the network.
    """
    path = weights_file(path)
    info = read_weights_info(path)
    return _with_weights(info.model, path, {}).to(device).eval(), info


def _family(name: str) -> type[SpikingNetwork]:
    """The class of the network of this name.

    Raises:
        ValueError: when there is none, or it needs a package that is not installed.
    """
    family = FAMILIES.get(name)
    if family is None:
        raise ValueError(f"model {name!r} is unknown; {suggest(name, list_models())}")
    if not family.is_installed():
        raise ValueError(f"model {name!r} is SpikingJelly's, which is not installed: pip install 'trevsnn[baselines]'")
    return family


def check_weights(path: str | Path) -> WeightsInfo:
    """The description of a weights file, whose tensors are those of the network that it describes.

    Raises:
        ValueError: as `load_weights`.
    """
    path = weights_file(path)
    info = read_weights_info(path)
    try:
        _check_fit(info, path, {})
    except (ValueError, TypeError) as error:
        raise _unfit(path, error) from error
    return info


def _build_like(info: WeightsInfo, options: dict[str, Any]) -> SpikingNetwork:
    """The network of a description, with some options otherwise."""
    model = create_model(info.model, **info.options | options)
    fold = getattr(model, "fold", None)
    return fold() if info.folded and fold else model


def _check_fit(info: WeightsInfo, path: Path, options: dict[str, Any]) -> None:
    family = _family(info.model)
    check_fit(
        path,
        lambda: _build_like(info, options),
        info.options | options,
        shared=not issubclass(family, ReversibleNetwork),
        except_for=family.heads if "num_classes" in options else (),
        adapt="in_chans" in options,
    )


def _unfit(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{str(path)!r} does not fit its network: {in_a_line(error)}")


def _with_weights(name: str, path: Path, options: dict[str, Any]) -> SpikingNetwork:
    info = read_weights_info(path)
    if info.model != name and info.model in list_models():
        raise ValueError(f"checkpoint {str(path)!r} is of {info.model}, not {name}")
    try:
        _check_fit(info, path, options)
        model = _build_like(info, options)
        same_classes = model.num_classes == info.options.get("num_classes", model.num_classes)
        heads = () if same_classes else model.heads
        report = load_tensors_into(model, path, except_for=heads, adapt=True)
        wrong = [name for name in report.unknown + report.replaced + report.missing if not name.startswith(heads)]
        if wrong:
            raise ValueError(f"unknown, missing or of another shape: {shortened(wrong)}")
    except (ValueError, TypeError) as error:
        raise _unfit(path, error) from error
    model.pretrained_cfg = {**model.pretrained_cfg, **(info.preprocessing or {})}  # type: ignore[dict-item]
    model.weights_info = info if same_classes else None
    return model
