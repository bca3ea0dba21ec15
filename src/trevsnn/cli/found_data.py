"""What commands say of a data set: what was found, and what was left out."""

from collections.abc import Mapping, Sequence
from typing import Any

from trevsnn.cli.output import say
from trevsnn.data import LabelledData, describe_data, list_data


def show_data(data: LabelledData) -> None:
    """Print what was found and what was left out, in a line."""
    say(f"{'data':<16}{describe_data(data)}")


def with_data(rows: Sequence[Mapping[str, Any]], data: LabelledData | None) -> list[Mapping[str, Any]]:
    """Rows for JSON, the first of which has, as "data", all that was found and left out."""
    return [row | {"data": list_data(data)} if not i and data else row for i, row in enumerate(map(dict, rows))]
