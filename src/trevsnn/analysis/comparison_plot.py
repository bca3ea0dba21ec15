"""Methods side by side, as a picture."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trevsnn.analysis.comparison import Row
from trevsnn.analysis.energy import unit_of
from trevsnn.files import atomic_path

_OURS, _PEERS, _LIGHTER, _PAPER = "#2a6f97", "#9aa5b1", 0.45, "#b0413e"
_PREFIXES = ("trevsnn_", "trev_")


def plot_comparison(rows: Sequence[Row], title: str, path: Path) -> None:
    """Draw memory, speed and energy to a PNG file, a bar per method and a mark where papers report a figure.

    Args:
        rows: as measured; what is missing has no bar.
        title: above the picture.
        path: file to write.
    """
    figure = Figure(figsize=(12, 1.6 + 0.42 * len(rows)), layout="constrained")
    memory, speed, energy = figure.subplots(1, 3, sharey=True)
    colours = [_OURS if row.method.name.startswith(_PREFIXES) else _PEERS for row in rows]
    places = list(range(len(rows)))
    unit, scale = unit_of(max((row.strict or 0 for row in rows), default=0))

    _bars(memory, places, [_divided(row.bytes_per_image, 1e6) for row in rows], colours)
    _marks(memory, [_divided(row.paper and row.paper.bytes_per_image, 1e6) for row in rows])
    memory.set_xlabel("training memory, MB per image")
    _bars(speed, places, [median(row.rates) if row.rates else None for row in rows], colours)
    for place, row in enumerate(rows):
        if row.rates:
            speed.plot([row.rates[0], row.rates[-1]], [place, place], color="black", linewidth=1)
    speed.set_xlabel("training speed, images/s")
    above, below = ([place + shift for place in places] for shift in (-0.2, 0.2))
    _bars(energy, above, [_divided(row.published, scale) for row in rows], colours, height=0.36)
    strict = [_divided(row.strict, scale) for row in rows]
    _bars(energy, below, strict, colours, height=0.36, alpha=_LIGHTER)
    _marks(energy, [_divided(row.paper and row.paper.energy, scale) for row in rows], above)
    energy.set_xlabel(f"energy of inference, {unit} per image: published, strict (lighter)")

    memory.set_yticks(places, [row.method.name for row in rows])
    memory.invert_yaxis()
    for axes in (memory, speed, energy):
        axes.set_xlim(0, axes.get_xlim()[1] * 1.15)  # room for the figures
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    if handles := [handle for axes in (memory, energy) for handle in axes.get_legend_handles_labels()[0]]:
        figure.legend(handles[:1], ["as reported"], loc="outside lower right", frameon=False)
    figure.suptitle(title, fontsize=10)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")


def _bars(
    axes: Axes,
    places: Sequence[float],
    values: Sequence[float | None],
    colours: Sequence[str],
    height: float = 0.7,
    alpha: float = 1.0,
) -> None:
    for place, value, colour in zip(places, values, colours, strict=True):
        if value is not None:
            axes.barh(place, value, height, color=colour, alpha=alpha)
            axes.annotate(f"{value:.3g}", (value, place), (4, 0), textcoords="offset points", va="center", fontsize=8)


def _marks(axes: Axes, values: Sequence[float | None], places: Sequence[float] | None = None) -> None:
    known = [(value, place) for place, value in zip(places or range(len(values)), values, strict=True) if value]
    if known:
        axes.plot(*zip(*known, strict=True), "D", color=_PAPER, markersize=5, label="as reported")


def _divided(value: float | None, by: float) -> float | None:
    return None if value is None else value / by
