import io
import json
import sys

import pytest
from rich.console import Console

from trevsnn._util.table import Table

TABLE = Table(
    "Some & more",
    {"name": "run", "share": "right", "count": "images"},
    [
        {"name": "<a>", "share": 0.125, "count": 12345, "hidden": [1]},
        {"name": "b", "share": "", "count": 2, "hidden": None},
    ],
)


def shown(table, width, terminal):
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, markup=False, color_system=None)
    table.show(console)
    return console.file.getvalue().splitlines()


def test_one_table_in_every_form():
    assert TABLE.cells() == [["<a>", "12.50%", "12,345"], ["b", "", "2"]]
    assert TABLE.markdown().splitlines() == [
        "Some & more:",
        "",
        "| run | right | images |",
        "|---|---:|---:|",
        "| <a> | 12.50% | 12,345 |",
        "| b |  | 2 |",
    ]
    html = TABLE.html()
    assert "<figcaption>Some &amp; more</figcaption>" in html
    assert '<th scope="row">&lt;a&gt;</th><td>12.50%</td><td>12,345</td>' in html
    assert '<th scope="col">images</th>' in html
    assert json.loads(TABLE.json()) == TABLE.rows


def test_only_a_terminal_folds():
    wide = Table("", {"x": "heading"}, [{"x": "word " * 20}])
    assert shown(TABLE, 80, False)[0] == "Some & more:"
    assert any("12.50%" in line and "12,345" in line for line in shown(TABLE, 80, False))
    assert max(map(len, shown(wide, 40, False))) > 90
    assert max(map(len, shown(wide, 40, True))) == 40


def test_a_table_without_headings_has_no_head_and_only_a_broad_one_a_hint():
    plain = Table.of_lists("", ("", ""), [("a", "b")]).html()
    assert "<thead>" not in plain
    assert "scroll sideways" not in plain
    assert "scroll sideways" in Table.of_lists("", "abcde", []).html()


def test_only_the_terminal_needs_rich(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich", None)
    assert TABLE.markdown()
    assert TABLE.html()
    assert TABLE.json()
    with pytest.raises(ImportError):
        TABLE.show(None)
