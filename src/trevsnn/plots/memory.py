"""Training memory against the number of timesteps, as a picture."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from trevsnn._util.files import atomic_path
from trevsnn._util.units import megabytes

_COLOURS = {"stored": "#b0413e", "packed": "#d99a2b", "reversible": "#2a6f97"}


def plot_memory(curves: Mapping[str, Mapping[int, float]], title: str, path: Path) -> None:
    """Draw bytes per image over T to a PNG file.

    Args:
        curves: by memory setting, bytes by T.
        title: above the picture.
        path: file to write.
    """
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    for setting, curve in sorted(curves.items(), key=lambda item: -max(item[1].values())):
        steps, values = list(curve), [value / 1e6 for value in curve.values()]
        axes.plot(steps, values, "o-", color=_COLOURS[setting], label=setting)
        last = f"{megabytes(1e6 * values[-1])} MB"
        axes.annotate(last, (steps[-1], values[-1]), (0, 7), textcoords="offset points", ha="center")
        axes.set_xticks(steps)
    axes.set(xlabel="timesteps T", ylabel="MB per image")
    axes.set_title(title, fontsize=10)
    axes.margins(x=0.06)
    axes.set_ylim(0, axes.get_ylim()[1] * 1.05)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="upper left")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
