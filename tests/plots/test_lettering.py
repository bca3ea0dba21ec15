"""Class names of any script, length and form are drawn, without a warning (which pytest makes an error)."""

from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from trevsnn.plots import lettering
from trevsnn.plots.confusion import confusion_figure, draw_confusion
from trevsnn.plots.style import save_png

NAMES = [
    "猫",
    "كلب",
    "🐈",
    "x_1^2",
    "$a$ \\frac{",
    "two\nlines",
    "a\udcffb",
    "a name of far more letters than there is room",
]


def test_names_of_any_kind_are_drawn(tmp_path):
    figure = Figure()
    axes = figure.subplots()
    draw_confusion(axes, torch.eye(len(NAMES), dtype=torch.long), NAMES)
    figure.savefig(tmp_path / "a.png")
    drawn = [label.get_text() for label in axes.get_xticklabels()]
    assert drawn[3:6] == ["x_1^2", "$a$ \\frac{", "two lines"]
    assert drawn[6] == "a\N{REPLACEMENT CHARACTER}b"
    assert drawn[7] == "a name of far more lett…"


def test_names_that_look_the_same_are_told_apart():
    axes = Figure().subplots()
    names = [*(f"a name of far more letters than room: {i}" for i in range(2)), "cat"]
    draw_confusion(axes, torch.eye(3, dtype=torch.long), names)
    drawn = [label.get_text() for label in axes.get_yticklabels()]
    assert drawn == ["a name of far more lett… (0)", "a name of far more lett… (1)", "cat"]


@pytest.fixture
def _fonts(monkeypatch):
    """Two letters in the font of matplotlib, one more in another one."""
    letters = {"DejaVuSans.ttf": "ab", "DejaVuSans-Oblique.ttf": "ab猫"}
    lettering._font_of.cache_clear()
    monkeypatch.setattr(lettering, "_letters", lambda file: set(map(ord, letters.get(Path(file).name, ""))))
    yield
    lettering._font_of.cache_clear()


@pytest.mark.usefixtures("_fonts")
def test_a_letter_comes_from_a_font_that_has_it_or_is_replaced():
    assert lettering.drawable("a猫é") == "a猫\N{REPLACEMENT CHARACTER}"
    text = Figure().text(0, 0, "a猫")
    lettering.letter_with_fonts([text], ["a猫"])
    assert not text.get_parse_math()
    assert text.get_fontfamily()[0] == "DejaVu Sans"


@pytest.mark.parametrize("classes", [61, 1000])
def test_many_classes_have_a_picture_of_bounded_size(tmp_path, classes):
    save_png(confusion_figure(torch.eye(classes, dtype=torch.long), ["猫"] * classes), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size < 10**6
