"""Checks of settings, with messages of one form: name=value must be what is allowed."""

import sys


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
