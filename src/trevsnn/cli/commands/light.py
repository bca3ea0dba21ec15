"""Commands whose work is imported when there is some."""

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from inspect import signature
from typing import Any


def light(command: Callable[..., None]) -> Callable[..., None]:
    """A command that is a signature and its help; a function of the same name does the work, with every argument.

    It is in the module of `trevsnn.cli` that is called as the command's own in `trevsnn.cli.commands`.
    """

    @wraps(command)
    def work(*args: Any, **kwargs: Any) -> None:
        given = signature(command).bind(*args, **kwargs)
        given.apply_defaults()
        worker_of(command)(*given.args, **given.kwargs)

    return work


def worker_of(command: Callable[..., None]) -> Callable[..., None]:
    """What does the work of a command."""
    module = import_module(command.__module__.replace(".commands.", "."))
    return getattr(module, command.__name__)
