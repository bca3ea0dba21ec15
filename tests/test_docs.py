"""The examples in README and docs run as they stand there."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from trevsnn.models import NetworkConfig, list_models

ROOT = Path(__file__).parent.parent
PAGES = [
    page for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))] if "```python" in page.read_text()
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    exec(compile("\n".join(blocks), page.name, "exec"), {"__name__": page.stem})


@pytest.mark.parametrize("page", [ROOT / "README.md", *(ROOT / "docs").glob("*.md")], ids=lambda page: page.name)
def test_links_and_named_tests_exist(page):
    text = page.read_text()
    for target in re.findall(r"\]\((?!http)([\w./-]+)\)", text):
        assert (page.parent / target).exists(), target
    for test in re.findall(r"`(?:tests/)?(\w+/test_\w+\.py)`", text):
        assert (ROOT / "tests" / test).exists(), test


def test_every_network_and_option_is_on_their_page():
    text = (ROOT / "docs/networks.md").read_text(encoding="utf-8")
    assert [name for name in list_models() if f"`{name}`" not in text] == []
    assert [field.name for field in fields(NetworkConfig) if f"`{field.name}`" not in text] == []
