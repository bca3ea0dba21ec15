"""The MS-ResNets with temporal reversibility by name, registered with timm; each has the shape of its baseline."""

from collections.abc import Mapping
from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model

from trevsnn.models.ms_resnet import ReversibleMSResNet
from trevsnn.models.shapes import CLIPS, DIGITS, IMAGENET, MS_RESNETS

__all__ = [
    "trev_ms_resnet18",
    "trev_ms_resnet34",
    "trev_ms_resnet_digits",
    "trev_ms_resnet_dvs",
]

default_cfgs = generate_default_cfgs(
    {
        f"{name}.untrained": {**cfg, "first_conv": first_conv, "classifier": "head"}
        for name, cfg, first_conv in [
            ("trev_ms_resnet18", IMAGENET, "encoder.0.conv"),
            ("trev_ms_resnet34", IMAGENET, "encoder.0.conv"),
            ("trev_ms_resnet_digits", DIGITS, "encoder.0.conv"),
            ("trev_ms_resnet_dvs", CLIPS, "grid.cells.0.0.down.0.conv"),
        ]
    }
)


def _build(variant: str, pretrained: bool, options: Mapping[str, Any]) -> ReversibleMSResNet:
    options = {**MS_RESNETS[variant.removeprefix("trev_ms_resnet")], **options}
    return build_model_with_cfg(ReversibleMSResNet, variant, pretrained, kwargs_filter=("img_size",), **options)


@register_model
def trev_ms_resnet18(pretrained: bool = False, **options: Any) -> ReversibleMSResNet:
    """MS-ResNet-18 with temporal reversibility."""
    return _build("trev_ms_resnet18", pretrained, options)


@register_model
def trev_ms_resnet34(pretrained: bool = False, **options: Any) -> ReversibleMSResNet:
    """MS-ResNet-34 with temporal reversibility, 22.0 M parameters, 21.8 M without fusion."""
    return _build("trev_ms_resnet34", pretrained, options)


@register_model
def trev_ms_resnet_digits(pretrained: bool = False, **options: Any) -> ReversibleMSResNet:
    """A small one for grey 32 x 32 images of handwritten digits."""
    return _build("trev_ms_resnet_digits", pretrained, options)


@register_model
def trev_ms_resnet_dvs(pretrained: bool = False, **options: Any) -> ReversibleMSResNet:
    """A small one for clips of 8 frames from an event camera."""
    return _build("trev_ms_resnet_dvs", pretrained, options)
