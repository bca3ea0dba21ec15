from trevsnn.plots.sweep import Curve, sweep_figure


def test_a_row_of_memory_and_speed_for_each_batch_size():
    ours = Curve("ours", thick=True, memory={1: 10.0, 2: 11.0}, speed={1: 3.0, 2: 2.0})
    other = Curve("ours", memory={1: 20.0}, speed={})
    peer = Curve("peer", memory={1: 30.0}, speed={1: 1.0})
    figure = sweep_figure({4: {"a": ours, "b": other, "c": peer}, 8: {"a": ours}}, "title")
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels == [f"{what}, batch {batch}" for batch in (4, 8) for what in ("peak MB per image", "images/s")]
    memory, speed, *_ = ({line.get_label(): line for line in axes.lines} for axes in figure.axes)
    assert dict(memory["a"].get_xydata()) == ours.memory
    assert list(speed) == ["a", "c"], "what was not timed is not drawn"
    assert memory["a"].get_linewidth() > memory["b"].get_linewidth()
    assert len({tuple(line.get_color()) for line in memory.values()}) == 3
    assert memory["a"].get_color() == speed["a"].get_color()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b", "c"]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["1", "2"]
