"""Folding: the network as it is deployed, with every linear pair merged into one layer.

- auxiliary heads are gone; the head's two linear layers are one, and so are the stem's two convolutions
- standardised weights are plain weights
- BatchNorm is part of the convolution before it
- a block's gamma is part of its last convolution

Merging is done in float64 and rounded once.
"""

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from trevsnn.layers import (
    Branch,
    ConvNorm,
    Convolution,
    FoldedStem,
    SpikeHead,
    StandardisedConvolution,
    Stem,
)

if TYPE_CHECKING:
    from trevsnn.models.network import TRevSNN


def fold(model: "TRevSNN", *, merge_stem: bool = True) -> "TRevSNN":
    """A copy of model in eval mode, folded: the same logits up to rounding.

    Args:
        model: the network.
        merge_stem: off, the stem stays two convolutions, plain ones.

    Raises:
        ValueError: when the leaky-relu's slope is not 1 yet (`set_negative_slope`), or model is folded.
    """
    folded = copy.deepcopy(model).eval()
    if is_folded(model):
        raise ValueError("this network is folded already")
    slopes = {module.negative_slope for module in folded.modules() if isinstance(module, (Stem, SpikeHead))}
    if slopes != {1.0}:
        raise ValueError(
            f"the leaky-relu of stem and head has slope {min(slopes)}, so its neighbours are not a linear pair; "
            "train until it is 1, or call set_negative_slope(1.0)"
        )
    folded.config = replace(folded.config, aux_heads=False)
    folded.aux_heads = nn.ModuleList()
    _bake(folded)
    if merge_stem:
        _fold_stems(folded)
    if isinstance(folded.head, SpikeHead):
        folded.head = nn.Sequential(_merge_linear(folded.head.linear1, folded.head.linear2), nn.Flatten(1))
    for module in folded.modules():
        if isinstance(module, Branch):
            module.fold()
    return folded


def is_folded(model: nn.Module) -> bool:
    """Whether the model is what `fold` returns."""
    return not any(isinstance(module, StandardisedConvolution) for module in model.modules())


def _fold_stems(model: nn.Module) -> None:
    """One that several steps share stays shared."""
    folded: dict[Stem, FoldedStem] = {}
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, Stem):
                if child not in folded:
                    folded[child] = FoldedStem(child.conv1, child.conv2)
                setattr(module, name, folded[child])


def _bake(module: nn.Module) -> None:
    """Replace standardised convolutions and ConvNorm by plain convolutions, all the way down.

    A module shared by several parents stays shared: it is replaced inside the module that all of them hold.
    """
    for name, child in module.named_children():
        if isinstance(child, StandardisedConvolution):
            setattr(module, name, _plain(child))
        elif isinstance(child, ConvNorm):
            dtype = child.conv.weight.dtype
            setattr(module, name, fuse_conv_bn_eval(child.conv.double(), child.norm.double()).to(dtype))
        else:
            _bake(child)


def _plain(conv: StandardisedConvolution) -> Convolution:
    """conv with its weight standardised once."""
    weight, bias = conv.weights()
    shape: Any = conv.kernel_size, conv.stride, conv.padding
    plain = Convolution(conv.in_channels, conv.out_channels, *shape, device="meta")
    plain.weight = nn.Parameter(weight.detach())
    plain.bias = nn.Parameter(bias.detach())
    return plain


def _merge_linear(first: nn.Conv2d, second: nn.Conv2d) -> nn.Conv2d:
    """second(first(x)) of two 1 x 1 convolutions as one."""
    outer = second.weight.detach().double().flatten(1)
    merged = nn.Conv2d(first.in_channels, second.out_channels, 1, device="meta")
    weight = outer @ first.weight.detach().double().flatten(1)
    bias = outer @ first.bias.detach().double() + second.bias.detach().double()  # type: ignore[union-attr]
    merged.weight = nn.Parameter(weight[:, :, None, None].to(first.weight))
    merged.bias = nn.Parameter(bias.to(first.weight))
    return merged
