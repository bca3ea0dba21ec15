"""Methods side by side, as a picture: memory, speed and energy, next to what papers report."""

from collections.abc import Sequence
from statistics import median

from matplotlib.figure import Figure

from trevsnn._util.units import unit_of
from trevsnn.costs.energy import CONVENTIONS
from trevsnn.plots.comparison import Panel, comparison_figure
from trevsnn.plots.sweep import Curve, sweep_figure
from trevsnn.studies.comparison import MEMOPT, Row


def comparison_picture(rows: Sequence[Row], title: str) -> Figure:
    """A bar per method, as far as it was measured, and a mark where papers report a figure.

    Args:
        rows: as measured; what is missing has no bar.
        title: above the picture.
    """
    unit, scale = unit_of(max((energy for row in rows for energy in row.energy.values()), default=0))
    lighter = ", ".join(list(CONVENTIONS)[1:])
    panels = [
        Panel(
            "training memory, MB per image",
            [[_divided(row.bytes_per_image, 1e6) for row in rows]],
            [_divided(row.paper and row.paper.bytes_per_image, 1e6) for row in rows],
        ),
        Panel(
            "training speed, images/s",
            [[median(row.rates) if row.rates else None for row in rows]],
            ranges=[(row.rates[0], row.rates[-1]) if row.rates else () for row in rows],
        ),
        Panel(
            f"energy, {unit} per image (lighter: {lighter})",
            [[_divided(row.energy.get(name), scale) for row in rows] for name in CONVENTIONS],
            [_divided(row.paper and row.paper.energy, scale) for row in rows],
        ),
    ]
    return comparison_figure([row.label for row in rows], [row.of_spikingjelly for row in rows], panels, title)


def sweep_picture(rows: Sequence[Row], title: str) -> Figure:
    """Memory and speed over the number of timesteps, a row of panels for each batch size.

    Args:
        rows: as measured; what is missing is not drawn.
        title: above the picture.
    """
    curves: dict[int, dict[str, Curve]] = {}
    for row in sorted(rows, key=lambda row: row.timesteps or 0):
        network, _, form = row.method.name.partition(":")
        family = form if form == "plain" else network.partition(MEMOPT)[0]
        curve = curves.setdefault(row.batch, {}).setdefault(
            row.label, Curve(family, thick=not row.of_spikingjelly and family == network)
        )
        if row.timesteps is not None and row.bytes_per_image is not None:
            curve.memory[row.timesteps] = row.bytes_per_image / 1e6
        if row.timesteps is not None and row.rates:
            curve.speed[row.timesteps] = median(row.rates)
    order = list(dict.fromkeys(row.label for row in rows))
    ordered = {batch: {label: found[label] for label in order if label in found} for batch, found in curves.items()}
    return sweep_figure(ordered, title)


def _divided(value: float | None, by: float) -> float | None:
    return None if value is None else value / by
