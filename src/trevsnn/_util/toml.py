"""TOML of others: whatever is wrong with it is a ValueError."""

import tomllib
from typing import Any

_MOST_DOTS = 100


def parse_toml(text: str) -> dict[str, Any]:
    """The values of a TOML text.

    Raises:
        ValueError: when it is none, or too deep.
    """
    for number, line in enumerate(text.split("\n"), 1):
        # for a key of many parts, the parser takes time and memory as their square
        if line.count(".") > _MOST_DOTS and not line.lstrip().startswith("#"):
            raise ValueError(f"line {number} has more than {_MOST_DOTS} dots, as no setting has")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("its lists or tables are too deep") from error
