"""Tables for Markdown pages."""

from collections.abc import Iterable


def markdown_table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """The lines of a table whose first column is names, and the others figures."""
    first, *others = headings
    alignment = f"|---|{'---:|' * len(others)}"
    return [_line([first, *others]), alignment, *map(_line, rows)]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
