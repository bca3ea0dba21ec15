"""Tables on the screen and as JSON."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from trevsnn._util.files import write_text
from trevsnn._util.table import Table

Item = TypeVar("Item")


def plain_console(width: int | None = None) -> Console:
    """Standard output, on which names of files and classes stand as they are: no markup, no emoji."""
    return Console(width=width, markup=False, emoji=False, highlight=False)


def say(*lines: str) -> None:
    """Print lines, however long they are."""
    for line in lines:
        plain_console().print(line, soft_wrap=True)


def show_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """Print rows as a table: `columns` gives the heading of each value by name, in order; floats are shares."""
    Table("", columns, rows).show(plain_console())


def write_json(rows: Sequence[Mapping[str, Any]], path: Path | None) -> None:
    """Write rows as a list of JSON objects, unless the path is None.

    Raises:
        ValueError: when the file cannot be written.
    """
    if path is not None:
        try:
            write_text(path, Table("", {}, rows).json())
        except OSError as error:
            raise ValueError(f"json file {str(path)!r} cannot be written: {error.strerror}") from error


def check_json(path: Path | None) -> None:
    """Refuse a JSON file that cannot be written, before the work (see `check_file`)."""
    check_file(path, "json file")


def check_file(path: Path | None, what: str) -> None:
    """Refuse a file that cannot be written, before the work; None stands for no file.

    Raises:
        ValueError: when its folder does not exist, or it is a folder itself.
    """
    if path is None:
        return
    if path.is_dir():
        raise ValueError(f"{what} {str(path)!r} is a folder; give the name of a file")
    if not path.parent.is_dir():
        raise ValueError(f"{what} {str(path)!r}: the folder {str(path.parent)!r} does not exist")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ValueError(f"{what} {str(path)!r} cannot be written: no permission")


def one_by_one(items: Iterable[Item], what: str) -> Iterable[Item]:
    """The items, with a bar on a terminal; `what` is done with them."""
    from rich.progress import track  # slow to import, and the help shows no bar

    console = plain_console()
    return track(items, what, console=console, transient=True, disable=not console.is_terminal)
