"""Energy of inference against the number of timesteps, as a picture."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from trevsnn.analysis.over_time import CostOverTime
from trevsnn.files import atomic_path

_CURVES = (
    ("resnet", "spiking ResNet-34", "o-", "#b0413e"),
    ("strict", "{model}, strict", "o--", "#2a6f97"),
    ("published", "{model}, published convention", "o-", "#2a6f97"),
)


def plot_over_time(points: Sequence[CostOverTime], model: str, title: str, path: Path) -> None:
    """Draw energy over T to a PNG file.

    Args:
        points: by T, ascending.
        model: name of the network.
        title: above the picture.
        path: file to write.
    """
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    steps = [point.timesteps for point in points]
    unit, scale = ("mJ", 1e9) if max(point.published for point in points) >= 1e8 else ("µJ", 1e6)
    for field, label, line, colour in _CURVES:
        values = [getattr(point, field) / scale for point in points]
        axes.plot(steps, values, line, color=colour, label=label.format(model=model))
        axes.annotate(
            f"{values[-1]:.3g} {unit}", (steps[-1], values[-1]), (0, 7), textcoords="offset points", ha="center"
        )
    axes.set_xticks(steps)
    axes.set(xlabel="timesteps T", ylabel=f"{unit} per image")
    axes.set_title(title, fontsize=10)
    axes.margins(x=0.06)
    axes.set_ylim(0, axes.get_ylim()[1] * 1.15)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="upper left")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
