"""Methods side by side, as a picture."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trevsnn.plots.style import CONTRAST, MAIN, MUTED, new_figure, tidy

_FAINTEST = 0.45

Values = Sequence[float | None]


@dataclass(frozen=True)
class Panel:
    """One quantity, with a value for each method; None where there is none."""

    label: str
    bars: Sequence[Values]
    """One series, or several, drawn below each other, the first in full colour."""
    marks: Values = ()
    """What is reported elsewhere."""
    ranges: Sequence[Sequence[float]] = ()
    """Lowest and highest value, or nothing."""


def comparison_figure(names: Sequence[str], muted: Sequence[bool], panels: Sequence[Panel], title: str) -> Figure:
    """Bars with their values, a panel next to the other.

    Args:
        names: of the methods.
        muted: which of them have the colour of the background.
        panels: the quantities.
        title: above the picture.
    """
    figure = new_figure(12, 1.6 + 0.42 * len(names))
    places = figure.subplots(1, len(panels), sharey=True, squeeze=False).flat
    colours = [MUTED if is_muted else MAIN for is_muted in muted]
    for axes, panel in zip(places, panels, strict=True):
        _draw(axes, panel, colours)
        axes.set_xlabel(panel.label)
        axes.set_xlim(0, axes.get_xlim()[1] * 1.15)  # values fit in at the ends of the bars
        tidy(axes, grid=False)
        axes.tick_params(axis="y", length=0)
    places[0].set_yticks(range(len(names)), names)
    places[0].set_ylim(len(names) - 0.4, -0.6)  # the first on top
    if handles := [handle for axes in places for handle in axes.get_legend_handles_labels()[0]]:
        figure.legend(handles[:1], ["as reported"], loc="outside lower right", frameon=False)
    figure.suptitle(title, fontsize=10)
    return figure


def _draw(axes: Axes, panel: Panel, colours: Sequence[str]) -> None:
    number = len(panel.bars)
    distance = 0.7 if number == 1 else 0.88 / number
    height = 0.7 if number == 1 else 0.72 / number
    for i, values in enumerate(panel.bars):
        shift = (i - (number - 1) / 2) * distance
        opacity = 1 - i * (1 - _FAINTEST) / max(1, number - 1)
        for place, value in enumerate(values):
            if value is not None:
                axes.barh(place + shift, value, height, color=colours[place], alpha=opacity)
                text = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
                end = max((value, *(panel.ranges[place] if panel.ranges else ())))
                axes.annotate(text, (end, place + shift), (5, 0), textcoords="offset points", va="center", fontsize=8)
    for place, ends in enumerate(panel.ranges):
        if ends:
            axes.plot(ends, [place, place], color="black", linewidth=1)
    marked = [(value, place) for place, value in enumerate(panel.marks) if value is not None]
    if marked:
        lower = 0.22 if number == 1 else 0
        axes.plot(
            [value for value, _ in marked],
            [place + lower for _, place in marked],
            "D",
            color=CONTRAST,
            markersize=4,
            label="as reported",
        )
