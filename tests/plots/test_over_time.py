from trevsnn.plots.over_time import Line, over_time_figure


def test_each_panel_has_its_lines():
    panels = {
        "GMAC": [Line("a", [1, 2, 4], "red"), Line("b", [3, 3, 3], style="o--")],
        "mJ": [Line("a", [0.5, 0.6, 0.7])],
    }
    figure = over_time_figure((1, 2, 4), panels, "title")
    assert figure.get_suptitle() == "title"
    assert [axes.get_ylabel() for axes in figure.axes] == list(panels)
    for axes, lines in zip(figure.axes, panels.values(), strict=True):
        drawn = [(line.get_label(), line.get_ydata().tolist()) for line in axes.lines]
        assert drawn == [(line.label, line.values) for line in lines]
        assert axes.get_xticks().tolist() == [1, 2, 4]
    first, second = figure.axes[0].lines
    assert (first.get_color(), first.get_linestyle(), second.get_linestyle()) == ("red", "-", "--")
