"""Cost of inference against the number of timesteps, as a picture."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from trevsnn._util.files import atomic_path
from trevsnn._util.units import unit_of
from trevsnn.costs.over_time import CostOverTime

_OURS, _RESNET = "#2a6f97", "#b0413e"


def plot_over_time(points: Sequence[CostOverTime], model: str, title: str, path: Path) -> None:
    """Draw operations and energy over T to a PNG file.

    Args:
        points: by T, ascending.
        model: name of the network.
        title: above the picture.
        path: file to write.
    """
    figure = Figure(figsize=(8.6, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    steps = [point.timesteps for point in points]
    unit, scale = unit_of(max(point.published for point in points))
    left.plot(steps, [point.resnet_macs / 1e9 for point in points], "o-", color=_RESNET, label="spiking ResNet-34")
    left.plot(steps, [point.macs / 1e9 for point in points], "o-", color=_OURS, label=model)
    without = [(point.macs - point.fusion_macs) / 1e9 for point in points]
    left.plot(steps, without, "o:", color=_OURS, label="without fusion")
    left.set_ylabel("GMAC per image")
    right.plot(steps, [point.resnet / scale for point in points], "o-", color=_RESNET, label="spiking ResNet-34")
    right.plot(steps, [point.published / scale for point in points], "o-", color=_OURS, label=f"{model}, published")
    right.plot(steps, [point.strict / scale for point in points], "o--", color=_OURS, label=f"{model}, strict")
    right.set_ylabel(f"{unit} per image")
    for axes in (left, right):
        axes.set_xticks(steps)
        axes.set_xlabel("timesteps T")
        axes.set_ylim(0, axes.get_ylim()[1] * 1.4)  # room for the legend
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, loc="upper left")
    figure.suptitle(title, fontsize=10)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
