"""What grows with the number of timesteps, and what does not, as a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from trevsnn.plots.style import MAIN, new_figure, tidy


@dataclass(frozen=True)
class Line:
    """A quantity, a value for each T."""

    label: str
    values: Sequence[float]
    color: str = MAIN
    style: str = "o-"


def over_time_figure(timesteps: Sequence[int], panels: Mapping[str, Sequence[Line]], title: str) -> Figure:
    """Lines over T, next to each other.

    Args:
        timesteps: T, ascending.
        panels: lines by the label of their axis.
        title: above the picture.
    """
    figure = new_figure(4.3 * len(panels), 3.8)
    for axes, (label, lines) in zip(figure.subplots(1, len(panels), squeeze=False).flat, panels.items(), strict=True):
        for line in lines:
            axes.plot(timesteps, line.values, line.style, color=line.color, label=line.label)
        axes.set(xlabel="timesteps T", ylabel=label)
        axes.set_xticks(timesteps)
        axes.set_ylim(0, axes.get_ylim()[1] * 1.4)  # the legend fits in above the lines
        tidy(axes)
        axes.legend(frameon=False, loc="upper left")
    figure.suptitle(title, fontsize=10)
    return figure
