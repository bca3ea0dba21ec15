"""Packages whose modules are imported when a name of them is first used."""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any


def imported_on_use(package: str, **names: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package (PEP 562).

    Args:
        package: its name.
        **names: by module of the package, the names that come from it, with spaces between.

    Examples:
        >>> __getattr__, __dir__ = imported_on_use("trevsnn._util", units="unit_of megabytes")
        >>> __getattr__("megabytes")(5_000_000)
        '5'
    """
    home = {name: f"{package}.{module}" for module, listed in names.items() for name in listed.split()}

    def __getattr__(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(home[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home})

    return __getattr__, __dir__
