"""Methods side by side, as a picture."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trevsnn._util.files import atomic_path
from trevsnn._util.units import unit_of
from trevsnn.studies.comparison import Row

_OURS, _PEERS, _LIGHTER, _PAPER = "#2a6f97", "#9aa5b1", 0.45, "#b0413e"


def plot_comparison(rows: Sequence[Row], title: str, path: Path) -> None:
    """Draw memory, speed and energy to a PNG file, a bar per method and a mark where papers report a figure.

    Args:
        rows: as measured; what is missing has no bar.
        title: above the picture.
        path: file to write.
    """
    figure = Figure(figsize=(12, 1.6 + 0.42 * len(rows)), layout="constrained")
    memory, speed, energy = figure.subplots(1, 3, sharey=True)
    colours = [_PEERS if row.of_spikingjelly else _OURS for row in rows]
    places = [float(i) for i in range(len(rows))]
    above, below = ([place + shift for place in places] for shift in (-0.22, 0.22))
    unit, scale = unit_of(max((row.strict or 0 for row in rows), default=0))

    _bars(memory, places, [_divided(row.bytes_per_image, 1e6) for row in rows], colours)
    _marks(memory, below, [_divided(row.paper and row.paper.bytes_per_image, 1e6) for row in rows])
    memory.set_xlabel("training memory, MB per image")
    highest = [row.rates[-1] if row.rates else None for row in rows]
    _bars(speed, places, [median(row.rates) if row.rates else None for row in rows], colours, highest)
    for place, row in enumerate(rows):
        if row.rates:
            speed.plot([row.rates[0], row.rates[-1]], [place, place], color="black", linewidth=1)
    speed.set_xlabel("training speed, images/s")
    _bars(energy, above, [_divided(row.published, scale) for row in rows], colours, height=0.36)
    _bars(energy, below, [_divided(row.strict, scale) for row in rows], colours, height=0.36, alpha=_LIGHTER)
    _marks(energy, places, [_divided(row.paper and row.paper.energy, scale) for row in rows])
    energy.set_xlabel(f"energy, {unit} per image (lighter: strict)")

    memory.set_yticks(places, [row.label for row in rows])
    memory.set_ylim(len(rows) - 0.4, -0.6)  # the first on top
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
    beyond: Sequence[float | None] | None = None,
    height: float = 0.7,
    alpha: float = 1.0,
) -> None:
    """Bars with their values at their ends, or further out."""
    for place, value, colour, mark in zip(places, values, colours, beyond or values, strict=True):
        if value is not None:
            axes.barh(place, value, height, color=colour, alpha=alpha)
            text, end = f"{value:,.0f}" if value >= 100 else f"{value:.3g}", max(value, mark or 0)
            axes.annotate(text, (end, place), (5, 0), textcoords="offset points", va="center", fontsize=8)


def _marks(axes: Axes, places: Sequence[float], values: Sequence[float | None]) -> None:
    known = [(value, place) for place, value in zip(places, values, strict=True) if value is not None]
    if known:
        axes.plot(*zip(*known, strict=True), "D", color=_PAPER, markersize=4, label="as reported")


def _divided(value: float | None, by: float) -> float | None:
    return None if value is None else value / by
