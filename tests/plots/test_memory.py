from matplotlib.axes import Axes

from trevsnn.plots.memory import plot_memory


def test_small_figures_keep_their_digits(tmp_path, monkeypatch):
    labels = []
    monkeypatch.setattr(Axes, "annotate", lambda _, text, *args, **options: labels.append(text))
    plot_memory(
        {"stored": {1: 1e6, 2: 1_234.5e6}, "packed": {1: 1e5, 2: 12.34e6}, "reversible": {1: 1e5, 2: 0.46e6}},
        "small",
        tmp_path / "x.png",
    )
    assert labels == ["1,234.5 MB", "12.3 MB", "0.46 MB"]
    assert (tmp_path / "x.png").stat().st_size > 1000
