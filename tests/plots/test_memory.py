from trevsnn.plots.memory import memory_figure


def test_curves_of_the_settings_with_their_last_values():
    curves = {"stored": {1: 1e6, 2: 1_234.5e6}, "packed": {1: 1e5, 2: 12.34e6}, "reversible": {1: 1e5, 2: 0.46e6}}
    (axes,) = memory_figure(curves, "small").axes
    assert [text.get_text() for text in axes.texts] == ["1,234.5 MB", "12.3 MB", "0.46 MB"]
    drawn = {line.get_label(): dict(line.get_xydata()) for line in axes.lines}
    assert drawn == {name: {steps: value / 1e6 for steps, value in curve.items()} for name, curve in curves.items()}
    assert len({line.get_color() for line in axes.lines}) == 3
    assert axes.get_title() == "small"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["stored", "packed", "reversible"]
