"""Where in a checkpoint the weights of a network stand, whatever program wrote it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from torch import Tensor

from trevsnn.models.checkpoint import Foreign
from trevsnn.models.tensor_names import in_groups

_DEEPEST = 4
"""Dictionaries within each other in which weights are looked for."""
_WRAPPERS = {"module", "_orig_mod"}
"""What DistributedDataParallel and torch.compile put into names."""
_CUSTOMARY = ("state_dict_ema", "model_ema", "model", "state_dict")
_EMA = re.compile(r"(?<![a-z])ema(?![a-z])")
_COUNTER = "n_averaged"
"""What PyTorch's AveragedModel counts, beside the weights."""
_DEEPEST_MODULE = 32
_MOST_MODULES = 100_000
"""Of a module that was saved whole; one that stands at many places counts at each."""


@dataclass(frozen=True, kw_only=True)
class FoundWeights:
    """Weights in a checkpoint."""

    tensors: dict[str, Any]
    """By the names of the network they are of. What stands there may be something else than a tensor."""
    place: str
    """Where in the checkpoint they stand; empty for the checkpoint itself."""
    left: list[str]
    """What else the checkpoint holds beside them, in groups."""


def find_weights(checkpoint: Any, known: str) -> FoundWeights:
    """The weights of a network in a checkpoint, an average of theirs (ema) where it has one.

    They may stand in dictionaries, in lists, in objects, or in a module that was saved whole. What wrappers put before
    or into names, `module.` and `_orig_mod.` for example, is taken off.

    Args:
        checkpoint: of `read_checkpoint`.
        known: the name of one of the network's weights, by which it is found.
    """
    places = list(_mappings(checkpoint, "", _DEEPEST, set()))
    found = []
    for place, entries in places:
        plain = {_unwrapped(name): value for name, value in entries.items()}
        found += [(place, name.removesuffix(known), plain) for name in plain if f".{name}".endswith(f".{known}")]
    if not found:  # the caller says what is missing
        place, entries = max(places, key=lambda p: sum(isinstance(v, Tensor) for v in p[1].values()), default=("", {}))
        return FoundWeights(tensors={_unwrapped(name): value for name, value in entries.items()}, place=place, left=[])
    place, prefix, plain = next((f for f in found if _EMA.search(f"{f[0]}.{f[1]}".lower())), found[0])
    others = {name for name in plain if not name.startswith(prefix) or name == prefix + _COUNTER}
    tensors = {name.removeprefix(prefix): value for name, value in plain.items() if name not in others}
    left = in_groups(others, plain)
    if place:
        top = place.split(".")[0]
        left += [str(name) for name in _entries(checkpoint) or {} if str(name) != top]
    return FoundWeights(tensors=tensors, place=f"{place}.{prefix}".strip("."), left=left)


_HOLD = Mapping | Foreign | list | tuple
"""What weights may stand in."""


def _unwrapped(name: Any) -> str:
    return ".".join(part for part in str(name).split(".") if part not in _WRAPPERS)


def _entries(value: Any) -> Mapping[Any, Any] | None:
    """What a dictionary, a list or an object in their place holds under names or numbers; of a module all its
    parameters and buffers."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, list | tuple):
        return {str(number): part for number, part in enumerate(value) if isinstance(part, _HOLD)}
    if not isinstance(value, Foreign):
        return None
    if isinstance(value.state, Mapping) and "_parameters" in value.state:
        return _of_module(value, frozenset(), count())
    return value.items or (value.state if isinstance(value.state, Mapping) else None)


def _of_module(module: Any, seen: frozenset[int], number: Iterator[int]) -> dict[str, Any]:
    state = _mapping(module.state) if isinstance(module, Foreign) else {}
    if id(module) in seen or len(seen) > _DEEPEST_MODULE or next(number) > _MOST_MODULES:
        return {}
    entries = {}
    for kind in ("_parameters", "_buffers"):
        held = _mapping(state.get(kind))
        entries |= {str(name): value for name, value in held.items() if isinstance(value, Tensor)}
    for name, part in _mapping(state.get("_modules")).items():
        entries |= {f"{name}.{inner}": value for inner, value in _of_module(part, seen | {id(module)}, number).items()}
    return entries


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: Any, place: str, depth: int, seen: set[int]) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """The dictionaries in a checkpoint, those that are customary for weights first, and the first place of each."""
    if not depth or id(value) in seen or (entries := _entries(value)) is None:
        return
    seen.add(id(value))
    for name in sorted(entries, key=lambda name: _CUSTOMARY.index(name) if name in _CUSTOMARY else len(_CUSTOMARY)):
        if isinstance(entries[name], _HOLD):
            yield from _mappings(entries[name], f"{place}.{name}".strip("."), depth - 1, seen)
    yield place, entries
