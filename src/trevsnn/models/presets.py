"""The named networks, registered with timm and in `trevsnn.models.registry`."""

from typing import Any

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model

from trevsnn.models import ms_resnet_presets
from trevsnn.models.baselines import BASELINES
from trevsnn.models.ms_resnet import ReversibleMSResNet
from trevsnn.models.network import TRevSNN
from trevsnn.models.registry import FAMILIES, create_model, list_models, load_weights, option_names

__all__ = [
    "create_model",
    "list_models",
    "load_weights",
    "option_names",
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


FAMILIES.update(
    {
        **dict.fromkeys(default_cfgs, TRevSNN),
        **dict.fromkeys(ms_resnet_presets.default_cfgs, ReversibleMSResNet),
        **BASELINES,
    }
)
