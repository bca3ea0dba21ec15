from matplotlib.colors import to_hex

from trevsnn.plots.comparison import Panel, comparison_figure
from trevsnn.plots.style import MAIN, MUTED


def test_bars_values_ranges_and_marks():
    panels = [
        Panel("memory", [[1234.0, None]], marks=[None, 5.0]),
        Panel("speed", [[2.0, 3.0]], ranges=[(1.0, 4.0), ()]),
        Panel("energy", [[1.0, 2.0], [3.0, 4.0], [None, 6.0]]),
    ]
    figure = comparison_figure(["ours", "theirs"], [False, True], panels, "title")
    memory, speed, energy = figure.axes
    assert [axes.get_xlabel() for axes in figure.axes] == ["memory", "speed", "energy"]
    assert [label.get_text() for label in memory.get_yticklabels()] == ["ours", "theirs"]
    assert [bar.get_width() for bar in memory.patches] == [1234.0]
    assert [text.get_text() for text in memory.texts] == ["1,234"]
    assert list(memory.lines[0].get_xdata()) == [5.0]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["as reported"]
    assert [text.xy[0] for text in speed.texts] == [4.0, 3.0], "beyond the range"
    assert list(speed.lines[0].get_xdata()) == [1.0, 4.0]
    assert [bar.get_width() for bar in energy.patches] == [1.0, 2.0, 3.0, 4.0, 6.0]
    opacities = [bar.get_alpha() for bar in energy.patches]
    assert opacities[0] == opacities[1] == 1 > opacities[2] == opacities[3] > opacities[4]
    places = [bar.get_y() for bar in energy.patches[1::2]]
    assert places == sorted(places), "the second method's, below each other"


def test_methods_in_the_background_have_a_colour_of_their_own():
    (axes,) = comparison_figure(["a", "b"], [False, True], [Panel("x", [[1.0, 2.0]])], "").axes
    assert [to_hex(bar.get_facecolor()) for bar in axes.patches] == [MAIN, MUTED]


def test_nothing_measured_is_nothing_drawn():
    figure = comparison_figure(["a"], [False], [Panel("x", [[None]]), Panel("y", [[None]], [None], [()])], "")
    assert not any(axes.patches or axes.lines or axes.texts for axes in figure.axes)
    assert not figure.legends
