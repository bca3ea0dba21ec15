"""The baselines by name, registered with timm."""

from collections.abc import Mapping
from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model

from trevsnn.models.base import SpikingNetwork
from trevsnn.models.baselines.spikingjelly import MSResNet, SEWResNet, SpikeDrivenTransformer
from trevsnn.models.shapes import CLIPS, DIGITS, IMAGENET, MS_RESNETS

__all__ = [
    "ms_resnet18",
    "ms_resnet34",
    "ms_resnet_digits",
    "ms_resnet_dvs",
    "sdt_8_512",
    "sdt_digits",
    "sew_resnet34",
]

BASELINES: dict[str, type[SpikingNetwork]] = {
    "ms_resnet18": MSResNet,
    "ms_resnet34": MSResNet,
    "ms_resnet_digits": MSResNet,
    "ms_resnet_dvs": MSResNet,
    "sdt_8_512": SpikeDrivenTransformer,
    "sdt_digits": SpikeDrivenTransformer,
    "sew_resnet34": SEWResNet,
}
"""The family of each."""

default_cfgs = generate_default_cfgs(
    {
        "ms_resnet18.untrained": IMAGENET,
        "ms_resnet34.untrained": IMAGENET,
        "ms_resnet_digits.untrained": DIGITS,
        "ms_resnet_dvs.untrained": CLIPS,
        "sdt_8_512.untrained": IMAGENET,
        "sdt_digits.untrained": DIGITS,
        "sew_resnet34.untrained": IMAGENET,
    }
)


def _build(variant: str, pretrained: bool, own: Mapping[str, Any], options: Mapping[str, Any]) -> SpikingNetwork:
    family = BASELINES[variant]
    return build_model_with_cfg(family, variant, pretrained, kwargs_filter=("img_size",), **{**own, **options})


@register_model
def ms_resnet18(pretrained: bool = False, **options: Any) -> SpikingNetwork:
    """MS-ResNet-18 with LIF neurons."""
    return _build("ms_resnet18", pretrained, MS_RESNETS["18"], options)


@register_model
def ms_resnet34(pretrained: bool = False, **options: Any) -> SpikingNetwork:
    """MS-ResNet-34 with LIF neurons, 21.8 M parameters."""
    return _build("ms_resnet34", pretrained, MS_RESNETS["34"], options)


@register_model
def ms_resnet_digits(pretrained: bool = False, **options: Any) -> SpikingNetwork:
    """A small MS-ResNet for grey 32 x 32 images of handwritten digits, of the size of `trevsnn_digits`."""
    return _build("ms_resnet_digits", pretrained, MS_RESNETS["_digits"], options)


@register_model
def ms_resnet_dvs(pretrained: bool = False, **options: Any) -> SpikingNetwork:
    """A small MS-ResNet for clips of frames from an event camera."""
    return _build("ms_resnet_dvs", pretrained, MS_RESNETS["_dvs"], options)


@register_model
def sdt_8_512(pretrained: bool = False, **options: Any) -> SpikingNetwork:
    """Spike-driven Transformer of 8 blocks of 512 channels, 29.7 M parameters."""
    return _build("sdt_8_512", pretrained, {}, options)


@register_model
def sdt_digits(pretrained: bool = False, **options: Any) -> SpikingNetwork:
    """A small Spike-driven Transformer for grey 32 x 32 images of handwritten digits."""
    return _build("sdt_digits", pretrained, {"embed_dims": 128, "depth": 2}, options)


@register_model
def sew_resnet34(pretrained: bool = False, **options: Any) -> SpikingNetwork:
    """SEW-ResNet-34 with IF neurons, 21.8 M parameters."""
    return _build("sew_resnet34", pretrained, {}, options)
