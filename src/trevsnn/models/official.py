"""Weights of the authors' public code, in our names.

The public network and ours compute the same function; entries differ in name and, for decays and residual
scales, in shape ((1, C, 1, 1) there, (C,) here). The public code keeps |alpha| >= 1e-3 while it runs;
the conversion applies that once.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from trevsnn._util.suggest import shortened
from trevsnn.models.checkpoint import Foreign
from trevsnn.models.config import NetworkConfig
from trevsnn.models.found_weights import find_weights
from trevsnn.models.network import TRevSNN

SMALLEST_DECAY = 1e-3
FIRST_WEIGHT = "stem.down1.0.weight"
"""The public code's name of the stem's first convolution, by which its weights are found in a checkpoint."""
_SUBNET = re.compile(r"^subnet\d+")

# Ours -> theirs; \1 is the step t, \2 the level l.
_RENAMES = (
    (r"stem\.conv(\d)", r"stem.down\1.0"),
    (r"grid\.decays\.(\d+)\.(\d+)", r"subnet\1.alpha\2"),
    (r"grid\.cells\.(\d+)\.(\d+)\.", r"subnet\1.level\2."),
    (r"fusion\.(down|up)\.conv", r"fusion.\1.encode_conv"),
    (r"fusion\.(down|up)\.norm", r"fusion.\1.encode_bn"),
    (r"blocks\.(\d+)\.depthwise", r"blocks.\1.dwconv1"),
    (r"blocks\.(\d+)\.pointwise", r"blocks.\1.pwconv1"),
    (r"blocks\.0\.tail\.depthwise", "blocks.0.dwconv2"),
    (r"blocks\.0\.tail\.pointwise", "blocks.0.pwconv2"),
    (r"blocks\.1\.tail\.depthwise", "blocks.1.dwconv2_reuse"),
    (r"blocks\.1\.tail\.pointwise", "blocks.1.pwconv2_reuse"),
    (r"aux_heads\.(\d+)\.linear", r"cls_blocks.\1.classifier.0"),
)


def convert_official(checkpoint: Any) -> dict[str, Tensor]:
    """State dict of the public code -> state dict of `TRevSNN(infer_official_config(checkpoint))`.

    Args:
        checkpoint: the state dict, or what `read_checkpoint` gives of a file that holds it, as "model" or "state_dict"
            for example; an average of the weights ("state_dict_ema") is taken first, as the published accuracy is its.

    Raises:
        ValueError: naming every unknown, missing or wrongly shaped entry, and every parameter that
            subnetworks share but that differs between them.
    """
    theirs = _state_dict(checkpoint)
    config = infer_official_config(theirs)
    with torch.device("meta"):
        expected = TRevSNN(config).state_dict()
    names = {name: official_name(name, config) for name in expected}
    problems = [f"unknown {name}" for name in theirs.keys() - set(names.values())]
    converted: dict[str, Tensor] = {}
    shared = {_SUBNET.sub("", name): value for name, value in theirs.items() if "_reuse." in name}
    for name, like in expected.items():
        # some programs write what subnetworks share once
        value = theirs.get(names[name], shared.get(_SUBNET.sub("", names[name])))
        if value is None:
            problems.append(f"missing {names[name]}")
        elif _core(value.shape) != _core(like.shape):
            problems.append(f"{names[name]} has shape {tuple(value.shape)}, expected {tuple(like.shape)}")
        else:
            converted[name] = value.reshape(like.shape).clone()
    problems += _unequal_shares(theirs)
    if problems:
        found = shortened(sorted(problems), 12, "; ")
        raise ValueError(f"not a state dict of the public T-RevSNN code: {found}")
    for name, value in converted.items():
        if name.startswith("grid.decays."):
            converted[name] = value.sign() * value.abs().clamp(min=SMALLEST_DECAY)
    return converted


def infer_official_config(checkpoint: Any) -> NetworkConfig:
    """Options of the network that a state dict (or checkpoint) of the public code belongs to.

    Raises:
        ValueError: when an entry that tells them is missing.
    """
    theirs = _state_dict(checkpoint)
    aux_heads = "cls_blocks.0.classifier.0.weight" in theirs
    channels = []
    while f"subnet0.alpha{len(channels)}" in theirs:
        channels.append(theirs[f"subnet0.alpha{len(channels)}"].numel())
    timesteps = 0
    while f"subnet{timesteps}.alpha0" in theirs:
        timesteps += 1
    heads = [
        name
        for name, value in theirs.items()
        if re.fullmatch(r"cls_blocks\.(\d+\.)?classifier2\.weight", name) and value.dim()
    ]
    needed = [FIRST_WEIGHT, "subnet0.level0.blocks.0.dwconv1.weight"]
    missing = [name for name in needed if name not in theirs or theirs[name].dim() != 4]
    if not channels:
        missing.append("subnet0.alpha0")
    if not heads:
        missing.append("cls_blocks.*.classifier2.weight")
    if missing:
        raise ValueError(f"not a state dict of the public T-RevSNN code: missing {'; missing '.join(missing)}")
    return NetworkConfig(
        num_classes=theirs[heads[-1]].shape[0],
        in_chans=theirs[needed[0]].shape[1],
        timesteps=timesteps,
        channels=tuple(channels),
        kernel_size=theirs[needed[1]].shape[-1],
        aux_heads=aux_heads,
    )


def _state_dict(checkpoint: Any) -> dict[str, Tensor]:
    if not isinstance(checkpoint, Mapping | Foreign | list | tuple):
        raise ValueError(f"a state dict is a mapping from names to tensors, not {type(checkpoint).__name__}")
    theirs = find_weights(checkpoint, FIRST_WEIGHT).tensors
    others = [name for name, value in theirs.items() if not isinstance(value, Tensor) or not _is_plain(value)]
    if others:
        raise ValueError(
            f"not a state dict of the public T-RevSNN code: no plain tensor is {shortened(others, 5)} "
            f"({_kind(theirs[others[0]])})"
        )
    return theirs


def _is_plain(tensor: Tensor) -> bool:
    """Whether it holds every number that it has; not one that stands for many, for example."""
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_complex():
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _kind(value: Any) -> str:
    """What stands in place of a plain tensor, in words."""
    if isinstance(value, Foreign):
        return value.name
    if not isinstance(value, Tensor):
        return type(value).__name__
    return "without its values, on the meta device" if value.is_meta else f"{value.dtype}, {value.layout}"


def official_name(name: str, config: NetworkConfig) -> str:
    for ours, theirs in _RENAMES:
        name = re.sub(ours, theirs, name)
    last = f"cls_blocks.{len(config.head_steps) - 1}" if config.aux_heads else "cls_blocks"
    return name.replace("head.linear1", f"{last}.classifier1.0").replace("head.linear2", f"{last}.classifier2")


def _core(shape: torch.Size) -> tuple[int, ...]:
    """(C,) for (1, C, 1, 1), the shape itself for any other."""
    return (shape[1],) if len(shape) == 4 and shape[0] == shape[2] == shape[3] == 1 else tuple(shape)


def _unequal_shares(theirs: Mapping[str, Tensor]) -> list[str]:
    problems = []
    for name, value in theirs.items():
        first = _SUBNET.sub("subnet0", name)
        if "_reuse." in name and name != first and first in theirs and not torch.equal(value, theirs[first]):
            problems.append(f"{name} differs from {first}, but subnetworks share it")
    return problems
