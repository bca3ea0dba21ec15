"""The named networks, registered with timm: `create_model` here and `timm.create_model` build the same."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model

from trevsnn._util.suggest import in_a_line, shortened, suggest
from trevsnn.models import ms_resnet_presets
from trevsnn.models.base import ReversibleNetwork, SpikingNetwork
from trevsnn.models.baselines import BASELINES, spikingjelly_is_installed
from trevsnn.models.fitting import check_fit
from trevsnn.models.ms_resnet import ReversibleMSResNet
from trevsnn.models.network import TRevSNN
from trevsnn.models.weights import WeightsInfo, load_tensors_into, read_weights_info, weights_file

__all__ = [
    "create_model",
    "list_models",
    "load_weights",
    "trevsnn_digits",
    "trevsnn_dvs",
    "trevsnn_small",
    "trevsnn_tiny",
]


def _cfg(**kwargs: Any) -> dict[str, Any]:
    return {
        "num_classes": 1000,
        "input_size": (3, 224, 224),
        "pool_size": (14, 14),
        "crop_pct": 224 / 232,
        "interpolation": "bicubic",
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "first_conv": "stem.conv1",
        "classifier": ("head.linear1", "head.linear2"),
        "license": "apache-2.0",
        **kwargs,
    }


default_cfgs = generate_default_cfgs(
    {
        "trevsnn_tiny.untrained": _cfg(),
        "trevsnn_small.untrained": _cfg(),
        "trevsnn_digits.untrained": _cfg(
            num_classes=10, input_size=(1, 32, 32), pool_size=(2, 2), crop_pct=1.0, mean=(0.5,), std=(0.5,)
        ),
        "trevsnn_dvs.untrained": _cfg(
            num_classes=10,
            input_size=(2, 128, 128),
            pool_size=(8, 8),
            crop_pct=1.0,
            mean=(0.0, 0.0),
            std=(1.0, 1.0),
            first_conv="grid.cells.0.0.fusion.down.conv1",
        ),
    }
)


def _build(variant: str, pretrained: bool, **options: Any) -> TRevSNN:
    if options.pop("features_only", False):
        raise ValueError("features_only is not available for T-RevSNN; use forward_features")
    return build_model_with_cfg(TRevSNN, variant, pretrained, kwargs_filter=("img_size",), **options)


@register_model
def trevsnn_tiny(pretrained: bool = False, **options: Any) -> TRevSNN:
    """T-RevSNN of 17.4 M parameters in training, 15.2 M deployed (paper: 15.2 M)."""
    return _build("trevsnn_tiny", pretrained, **{"channels": (64, 128, 256, 384), **options})


@register_model
def trevsnn_small(pretrained: bool = False, **options: Any) -> TRevSNN:
    """T-RevSNN of 32.3 M parameters in training, 29.8 M deployed (paper: 29.8 M)."""
    return _build("trevsnn_small", pretrained, **{"channels": (96, 192, 384, 512), **options})


@register_model
def trevsnn_digits(pretrained: bool = False, **options: Any) -> TRevSNN:
    """A small T-RevSNN for grey 32 x 32 images of handwritten digits."""
    return _build("trevsnn_digits", pretrained, **{"channels": (24, 48, 96, 128), "kernel_size": 3, **options})


@register_model
def trevsnn_dvs(pretrained: bool = False, **options: Any) -> TRevSNN:
    """A T-RevSNN for clips of 8 frames from an event camera, (8, N, 2, 128, 128), in the published shape."""
    shape = {"channels": (32, 64, 128, 256), "timesteps": 8, "frames": True, "in_chans": 2}
    return _build("trevsnn_dvs", pretrained, **{**shape, **options})


_BY_NAME: dict[str, type[SpikingNetwork]] = {
    **dict.fromkeys(default_cfgs, TRevSNN),
    **dict.fromkeys(ms_resnet_presets.default_cfgs, ReversibleMSResNet),
}


def list_models() -> list[str]:
    """Names that `create_model` knows; those of SpikingJelly's networks where it is installed."""
    return sorted(_BY_NAME) + (sorted(BASELINES) if spikingjelly_is_installed() else [])


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
    family = (_BY_NAME | BASELINES).get(name)
    if family is None:
        raise ValueError(f"model {name!r} is unknown; {suggest(name, list_models())}")
    if name in BASELINES and not spikingjelly_is_installed():
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
    return model.fold() if info.folded and isinstance(model, TRevSNN) else model


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
