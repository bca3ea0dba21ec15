"""PyTorch checkpoints of other programs, read without running code that is in them.

A pickle names functions and classes, which loading calls. Here a few of PyTorch's are called, those that make tensors
of bytes; everything else, a function, an optimiser's or a whole module's class, becomes an inert `Foreign` that keeps
what it was to be filled with. So weights come out whatever stands beside them, and no other package need be installed.
"""

import io
import pickle
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch._utils import _rebuild_tensor

from trevsnn._util.files import ClippedReader
from trevsnn.models.file_kind import describe_file

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
