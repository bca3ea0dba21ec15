"""Whether a weights file is of the network that it says: found out before anything is as large as it says."""

import reprlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from trevsnn._util.checks import is_whole
from trevsnn._util.suggest import shortened

_MOST_STEPS = 1000
"""Of a network whose steps share everything: no tensor tells how many there are."""
_FEW = 100
"""Parts that take no time."""

Shape = tuple[int, ...]


def check_fit(
    path: Path,
    build: Callable[[], nn.Module],
    options: Mapping[str, Any],
    *,
    shared: bool = False,
    except_for: tuple[str, ...] = (),
    adapt: bool = False,
) -> None:
    """Refuse a network of which the file's tensors are not.

    Args:
        path: the file.
        build: makes the network; here, of nothing but shapes.
        options: those that it is built with.
        shared: all its steps share all its tensors.
        except_for: tensors whose names begin so may be missing or of any shape, the classifiers' for example.
        adapt: the first convolution may be for images of another number of channels.

    Raises:
        ValueError: naming some of the tensors that do not fit, or a number that the file is too small for.
    """
    with safe_open(path, framework="pt") as file:
        shapes: dict[str, Shape] = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    _check_counts(options, len(shapes), shared)
    try:
        with torch.device("meta"):
            model = build()
    except (RuntimeError, OverflowError, TypeError) as error:  # PyTorch's go on with a trace
        raise ValueError(f"no network is of such options: {str(error).partition(chr(10))[0]}") from error
    if adapt and (first := getattr(model, "default_cfg", {}).get("first_conv")):
        except_for = (*except_for, f"{first}.")
    if wrong := [name for name in _misfits(model, shapes) if not name.startswith(except_for)]:
        raise ValueError(f"unknown, missing or of another shape: {shortened(wrong)}")


def _check_counts(options: Mapping[str, Any], tensors: int, shared: bool) -> None:
    """Refuse more parts than there are tensors: making them takes time, even of nothing but shapes."""
    channels, blocks = options.get("channels"), options.get("blocks")
    levels = len(channels) if isinstance(channels, Sequence) else 1
    counts = {
        "channels": levels,
        "blocks": sum(filter(is_whole, blocks)) if isinstance(blocks, Sequence) else blocks,
        "depth": _times(levels, options.get("depth")),
        "timesteps": _times(1 if shared else levels, options.get("timesteps")),
    }
    for name, count in counts.items():
        most = _MOST_STEPS if shared and name == "timesteps" else max(tensors, _FEW)
        if is_whole(count) and count > most:
            raise ValueError(f"{name}={reprlib.repr(options[name])} is more than its {tensors} tensors are for")


def _times(factor: int, count: Any) -> int | None:
    return factor * count if is_whole(count) else None


def _misfits(model: nn.Module, shapes: Mapping[str, Shape]) -> list[str]:
    """Names of tensors that are unknown, missing or of another shape; one that several names share is there once."""
    own = model.state_dict(keep_vars=True)
    there = {id(own[name]) for name in own.keys() & shapes.keys()}
    missing = [name for name, tensor in own.items() if name not in shapes and id(tensor) not in there]
    unlike = [name for name in own.keys() & shapes.keys() if tuple(own[name].shape) != shapes[name]]
    return sorted([*(shapes.keys() - own.keys()), *missing, *unlike])
