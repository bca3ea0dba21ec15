"""PyTorch checkpoints of other programs, read without running code that is in them.

A pickle names functions and classes, which loading calls. Here a few of PyTorch's are called, those that make tensors
of bytes; everything else, a function, an optimiser's or a whole module's class, becomes an inert `Foreign` that keeps
what it was to be filled with. So weights come out whatever stands beside them, and no other package need be installed.
"""

import io
import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch._utils import _rebuild_tensor

from trevsnn._util.files import ClippedReader
from trevsnn.models.file_kind import describe_file
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
_MOST_COPIED = 1_000_000
"""Names in dictionaries that are made of other values, over a whole pickle."""


@dataclass(eq=False)
class Foreign:
    """What stands for an object of another program, and in place of its class."""

    name: str
    """Of its class, or the function that would have made it."""
    state: Any = None
    """What it would have been restored from."""
    items: dict[str, Any] = field(default_factory=dict)
    """What a dictionary of its own kind would have held, under names."""


def _rebuild(storage: Any, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
    return _rebuild_tensor(storage, offset, size, stride)


def _first(data: Any, *_: Any) -> Any:
    return data


def _rebuild_subclass(rebuild: Any, _: Any, arguments: Any, *__: Any) -> Any:
    return _called(rebuild, arguments)


def _ordered(pairs: Any = (), *_: Any) -> dict[Any, Any]:
    """Python 2 gives what it holds as a list of pairs, later versions put it in afterwards."""
    return OrderedDict((key, value) for key, value in pairs if _is_key(key))


def _is_key(value: Any) -> bool:
    """Whether it can be a name in a dictionary, or in a set: hashing a tuple in tuples can take forever."""
    return value is None or isinstance(value, (str, bytes, int, float, Foreign)) or _is_flat(value)


def _is_flat(value: Any) -> bool:
    return isinstance(value, tuple) and all(
        part is None or isinstance(part, (str, bytes, int, float)) for part in value
    )


def _empty(*_: Any) -> dict[Any, Any]:
    return {}


_CALLED: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): _ordered,
    ("collections", "defaultdict"): _empty,
    ("torch", "Size"): torch.Size,
    ("torch._utils", "_rebuild_tensor"): _rebuild,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
    ("torch._utils", "_rebuild_parameter"): _first,
    ("torch._utils", "_rebuild_parameter_with_state"): _first,
    ("torch._tensor", "_rebuild_from_type_v2"): _rebuild_subclass,
}
"""All that is ever called."""


def _called(function: Any, arguments: Any) -> Any:
    if any(function is known for known in _CALLED.values()):
        return function(*arguments)
    return Foreign(function.name if isinstance(function, Foreign) else type(function).__name__)


class _Reader(pickle._Unpickler):  # Python's own in Python, whose steps can be replaced
    """Every step that would call something of a pickle's choice calls what is in `_CALLED` at most."""

    stack: Any
    _copied = 0
    pop_mark: Callable[[], list[Any]]
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)

    def find_class(self, module_name: str, global_name: str) -> Any:
        known = _CALLED.get((module_name, global_name))
        return Foreign(f"{module_name}.{global_name}") if known is None else known

    def _make(self, arguments: Any) -> None:
        self._copied += sum(len(part) for part in arguments if isinstance(part, (list, dict)))
        if self._copied > _MOST_COPIED:
            raise pickle.UnpicklingError("more copies than any file has")
        self.stack[-1] = _called(self.stack[-1], arguments)

    def _reduce(self) -> None:
        self._make(self.stack.pop())

    def _new_with_keywords(self) -> None:
        self.stack.pop()
        self._reduce()

    def _object(self) -> None:
        function, *arguments = self.pop_mark()
        self.stack.append(_called(function, arguments))

    def _instance(self) -> None:
        module, name = (self.readline()[:-1].decode("ascii") for _ in range(2))  # type: ignore[attr-defined]
        arguments = self.pop_mark()
        self.stack.append(_called(self.find_class(module, name), arguments))

    def _build(self) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Foreign):
            self.stack[-1].state = state

    def _append(self) -> None:
        value = self.stack.pop()
        if type(self.stack[-1]) is list:
            self.stack[-1].append(value)

    def _extend(self) -> None:
        values = self.pop_mark()
        if type(self.stack[-1]) is list:
            self.stack[-1].extend(values)

    def _update(self, values: list[Any]) -> None:
        """Of names and values in turn."""
        target, pairs = self.stack[-1], zip(values[::2], values[1::2], strict=True)
        if isinstance(target, Foreign):
            target.items.update((key, value) for key, value in pairs if isinstance(key, str))
        elif isinstance(target, dict):
            target.update((key, value) for key, value in pairs if _is_key(key))

    def _add(self) -> None:
        values = self.pop_mark()
        if type(self.stack[-1]) is set:
            self.stack[-1].update(filter(_is_key, values))

    def _dictionary(self) -> None:
        values = self.pop_mark()
        self.stack.append({})
        self._update(values)

    def _frozen_set(self) -> None:
        self.stack.append(frozenset(filter(_is_key, self.pop_mark())))

    def _set(self) -> None:
        self._update(self.pop_mark())

    def _set_one(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._update([key, value])

    def _persistent(self) -> None:
        """A storage, or a class with its source code, which is neither compared nor written down."""
        match saved := self.stack.pop():
            case ("module" | b"module", found, *_):
                self.stack.append(found)
            case _:
                self.stack.append(self.persistent_load(saved))

    def _refuse(self) -> None:
        raise pickle.UnpicklingError("an extension code, or an array of bytes")

    dispatch |= {
        opcode[0]: step
        for opcode, step in [
            (pickle.REDUCE, _reduce),
            (pickle.NEWOBJ, _reduce),
            (pickle.NEWOBJ_EX, _new_with_keywords),
            (pickle.OBJ, _object),
            (pickle.INST, _instance),
            (pickle.BUILD, _build),
            (pickle.APPEND, _append),
            (pickle.APPENDS, _extend),
            (pickle.SETITEM, _set_one),
            (pickle.SETITEMS, _set),
            (pickle.ADDITEMS, _add),
            (pickle.DICT, _dictionary),
            (pickle.FROZENSET, _frozen_set),
            (pickle.BINPERSID, _persistent),
            (pickle.BYTEARRAY8, _refuse),
            (pickle.EXT1, _refuse),
            (pickle.EXT2, _refuse),
            (pickle.EXT4, _refuse),
        ]
    }


_PICKLE = SimpleNamespace(
    Unpickler=_Reader,
    load=lambda file, **options: _Reader(file, **options).load(),
    __name__="trevsnn.models.checkpoint",
)


def read_checkpoint(path: str | Path) -> Any:
    """What `torch.save` wrote, on the CPU, or the tensors of a safetensors file; no code in it is run.

    Objects of other programs are `Foreign`.

    Raises:
        ValueError: when the file does not exist, is cut off or is something else.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"checkpoint {str(path)!r} {'is not a file' if path.exists() else 'does not exist'}")
    kind = describe_file(path)
    if kind.name not in ("checkpoint", "state", "safetensors"):
        raise ValueError(f"checkpoint {str(path)!r} {kind if kind.name != 'unknown' else 'is cut off or none'}")
    try:
        if kind.name == "safetensors":
            return load_file(path)
        _check_stored(path)
        with warnings.catch_warnings(action="ignore"), ClippedReader(io.FileIO(path)) as file:
            return torch.load(file, map_location="cpu", pickle_module=_PICKLE, weights_only=False)
    except Exception as error:  # a damaged pickle can fail in any way
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise ValueError(f"checkpoint {str(path)!r} is cut off or damaged ({reason}); copy it again") from error


def _check_stored(path: Path) -> None:
    """Refuse a zip archive whose records are more than the file, once they are unpacked; PyTorch packs none.

    Raises:
        ValueError: naming both.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        size = path.stat().st_size
        content = sum(info.file_size for info in archive.infolist())
    if content > size:
        raise ValueError(f"its {size:,} bytes say that they unpack to {content:,}, which PyTorch does not write")


@dataclass(frozen=True, kw_only=True)
class FoundWeights:
    """Weights in a checkpoint."""

    tensors: dict[str, Any]
    """By the names of the network they are of. What stands there may be no tensor."""
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
