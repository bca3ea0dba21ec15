"""A table, as it is shown on a terminal, in Markdown, in HTML and in JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_MOST_ON_A_PHONE = 4
"""Columns."""


@dataclass(frozen=True)
class Table:
    """Rows of values. The first column names the rows; integers get commas, other numbers are shares."""

    title: str
    """Empty for none."""
    columns: Mapping[Any, str]
    """The heading of each value by name, in order; a table whose headings are all empty has no head."""
    rows: Sequence[Mapping[Any, Any]]
    """They may hold more than the columns show."""

    @classmethod
    def of_lists(cls, title: str, headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> "Table":
        """From rows that are in the order of the headings.

        Examples:
            >>> print(Table.of_lists("", ["", "accuracy"], [["best", 0.5], ["last", "unknown"]]).markdown())
            |  | accuracy |
            |---|---:|
            | best | 50.00% |
            | last | unknown |
        """
        return cls(title, dict(enumerate(headings)), [dict(enumerate(row)) for row in rows])

    def cells(self) -> list[list[str]]:
        """The text of what the columns show, row by row."""
        return [[_text(row[name]) for name in self.columns] for row in self.rows]

    def show(self, console: "Console") -> None:
        """Print it: folded to the width of a terminal, and in a file or pipe, which has none, as wide as it needs."""
        from rich import table  # only what shows it needs rich

        drawn = table.Table()
        for number, heading in enumerate(self.columns.values()):
            drawn.add_column(heading, overflow="fold", justify="right" if number else "left")
        for row in self.cells():
            drawn.add_row(*row)
        if not console.is_terminal:
            needed = console.measure(drawn, options=console.options.update(width=10_000))
            console.width = max(console.width, needed.maximum)
        if self.title:
            console.print(f"{self.title}:")
        console.print(drawn)

    def markdown(self) -> str:
        """The lines of a Markdown table, below the title."""
        title = [f"{self.title}:", ""] if self.title else []
        alignment = f"|---|{'---:|' * (len(self.columns) - 1)}"
        return "\n".join([*title, _line(list(self.columns.values())), alignment, *map(_line, self.cells())])

    def html(self) -> str:
        """A figure whose caption is the title, to be scrolled sideways where it is broad."""
        title = escape(self.title)
        head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in self.columns.values())
        lines = [f"<figure>\n<figcaption>{title}</figcaption>"]
        if len(self.columns) > _MOST_ON_A_PHONE:
            lines.append('<p class="hint" aria-hidden="true">scroll sideways for all columns →</p>')
        lines.append(f'<div class="scroll" tabindex="0" role="region" aria-label="{title}">\n<table>')
        if any(self.columns.values()):
            lines.append(f"<thead><tr>{head}</tr></thead>")
        lines.append("<tbody>")
        for name, *others in self.cells():
            values = "".join(f"<td>{escape(text)}</td>" for text in others)
            lines.append(f'<tr><th scope="row">{escape(name)}</th>{values}</tr>')
        return "\n".join([*lines, "</tbody>\n</table>\n</div>\n</figure>"])

    __html__ = html
    """So that templates do not escape it again."""

    def json(self) -> str:
        """A list of objects, with all that the rows hold."""
        return json.dumps(list(self.rows), indent=2) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2%}"
    return f"{value:,}" if isinstance(value, int) else str(value)
