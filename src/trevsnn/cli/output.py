"""Tables on the screen and as JSON."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from trevsnn._util.files import write_text
from trevsnn._util.table import Table
from trevsnn.data import LabelledData, describe_data, list_data

JsonFile = Annotated[Path | None, Parameter(name="--json")]


def plain_console(width: int | None = None) -> Console:
    """Standard output, on which names of files and classes stand as they are: no markup, no emoji."""
    return Console(width=width, markup=False, emoji=False, highlight=False)


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


def show_data(data: LabelledData) -> None:
    """Print what was found and what was left out, in a line."""
    plain_console().print(f"{'data':<16}{describe_data(data)}", soft_wrap=True)


def with_data(rows: Sequence[Mapping[str, Any]], data: LabelledData | None) -> list[Mapping[str, Any]]:
    """Rows for JSON, the first of which has, as "data", all that was found and left out."""
    return [row | {"data": list_data(data)} if not i and data else row for i, row in enumerate(map(dict, rows))]


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
