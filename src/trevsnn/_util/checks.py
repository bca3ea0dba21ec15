"""Checks of settings, with messages of one form: name=value must be what is allowed."""

import sys
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin


def require(settings: object, name: str, holds: bool, allowed: str) -> None:
    """Refuse a setting.

    Raises:
        ValueError: unless it holds.
    """
    if not holds:
        raise ValueError(f"{name}={getattr(settings, name)!r} must be {allowed}")


def is_whole(value: object) -> bool:
    """Whether it is an integer, and not a bool."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def typed(name: str, value: Any, hint: Any) -> Any:
    """A value of this type; text and lists, as files have them, become paths and tuples where these are wanted.

    Args:
        name: of the setting, for the message.
        value: what is given.
        hint: a type: bool, int, float, str, Path, Literal, a tuple of these, or one of several; others are not checked.

    Raises:
        ValueError: when it is of another.

    Examples:
        >>> typed("size", [3, 4], tuple[int, int] | None)
        (3, 4)
    """
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if NoneType in kinds and value is None:
        return None
    kinds = tuple(kind for kind in kinds if kind is not NoneType)
    if isinstance(value, list) and any(get_origin(kind) is tuple for kind in kinds):
        value = tuple(value)
    if not any(_is_of(value, kind) for kind in kinds):
        allowed = " or ".join(map(_in_words, kinds))
        raise ValueError(f"{name}={value!r} must be {allowed}")
    return _path(name, value) if Path in kinds else value


_KINDS = {
    bool: (lambda value: isinstance(value, bool), "true or false", ""),
    int: (is_whole, "an integer", "integers"),
    float: (is_number, "a finite number", "finite numbers"),
    str: (lambda value: isinstance(value, str), "a text in quotation marks", ""),
    Path: (lambda value: isinstance(value, (str, Path)), "a path in quotation marks", ""),
}


def _is_of(value: Any, kind: Any) -> bool:
    parts = get_args(kind)
    if get_origin(kind) is Literal:
        return value in parts
    if get_origin(kind) is tuple:
        if not isinstance(value, tuple):
            return False
        kinds = parts[:1] * len(value) if parts[-1] is ... else parts
        return len(value) == len(kinds) and all(map(_is_of, value, kinds))
    return kind not in _KINDS or _KINDS[kind][0](value)


def _in_words(kind: Any) -> str:
    parts = get_args(kind)
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, parts))
    if get_origin(kind) is tuple:
        several = _KINDS[parts[0]][2]
        return several if parts[-1] is ... else f"{len(parts)} {several}"
    return _KINDS[kind][1]


def _path(name: str, value: Any) -> Path:
    """The same in every folder that a program is started in."""
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError as error:  # ~ of an unknown user
        raise ValueError(f"{name}={str(value)!r}: {error}") from error
