"""Training memory against the number of timesteps, as a picture."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from trevsnn._util.units import megabytes
from trevsnn.plots.style import CONTRAST, MAIN, SECOND, new_figure, tidy

_COLOURS = {"stored": CONTRAST, "packed": SECOND, "reversible": MAIN}


def memory_figure(curves: Mapping[str, Mapping[int, float]], title: str) -> Figure:
    """Megabytes per image over T.

    Args:
        curves: by memory setting, bytes by T.
        title: above the picture.
    """
    figure = new_figure(6.4, 3.8)
    axes = figure.subplots()
    for setting, curve in sorted(curves.items(), key=lambda item: -max(item[1].values())):
        steps = list(curve)
        values = [value / 1e6 for value in curve.values()]
        axes.plot(steps, values, "o-", color=_COLOURS[setting], label=setting)
        last = f"{megabytes(1e6 * values[-1])} MB"
        axes.annotate(last, (steps[-1], values[-1]), (0, 7), textcoords="offset points", ha="center")
        axes.set_xticks(steps)
    axes.set(xlabel="timesteps T", ylabel="MB per image")
    axes.set_title(title, fontsize=10)
    axes.margins(x=0.06)
    axes.set_ylim(0, axes.get_ylim()[1] * 1.05)
    tidy(axes)
    axes.legend(frameon=False, loc="upper left")
    return figure
