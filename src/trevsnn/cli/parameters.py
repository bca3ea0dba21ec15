"""Types of options: how words of a command line become values."""

from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from cyclopts import Parameter


def _parse_whole(_: Any, tokens: Sequence[Any]) -> int:
    """cyclopts' own conversion would round 1.5 to 2."""
    text = str(tokens[0].value)
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an integer") from None


Whole = Annotated[int, Parameter(converter=_parse_whole)]
Switch = Annotated[bool, Parameter(negative=())]
"""An option without a value, which has no opposite."""
SEVERAL = Parameter(consume_multiple=True)
"""For a tuple: its values are words one after the other."""
FLAT = Parameter(name="*")
"""For a dataclass: its fields are options."""
JsonFile = Annotated[Path | None, Parameter(name="--json")]

Settings = TypeVar("Settings")


def as_options(settings: type[Settings]) -> type[Settings]:
    """Decorates a subclass, to be made a dataclass, of a dataclass of settings: its fields get the types above."""
    for name, hint in get_type_hints(settings).items():
        settings.__annotations__.setdefault(name, as_option(hint))
    return settings


def in_words(value: Any) -> str:
    """A value as a command line has it."""
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def as_option(hint: Any) -> Any:
    """The type of an option, of that of a setting."""
    tuples = any(get_origin(part) is tuple for part in (hint, *get_args(hint)))
    return Annotated[_whole(hint), SEVERAL] if tuples else _whole(hint)


def _whole(hint: Any) -> Any:
    """A type whose parts `int` are `Whole`."""
    if hint is int:
        return Whole
    parts = tuple(map(_whole, get_args(hint)))
    if get_origin(hint) is tuple:
        return tuple[parts]
    return Union[parts] if get_origin(hint) is UnionType else hint  # noqa: UP007 (of parts that are known at run time)
