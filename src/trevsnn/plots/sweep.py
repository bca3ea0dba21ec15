"""Memory and speed of several methods over the number of timesteps, as a picture."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from trevsnn.plots.style import new_figure, tidy

_SHADES = ("Blues_r", "Greys_r", "Oranges_r", "Greens_r", "Purples_r", "Reds_r")
_MARKERS = "os^Dvp"


@dataclass(frozen=True)
class Curve:
    """One method."""

    family: str
    """Methods of one family have shades of one colour."""
    thick: bool = False
    memory: dict[int, float] = field(default_factory=dict)
    """MB per image by T."""
    speed: dict[int, float] = field(default_factory=dict)
    """Images/s by T."""


def sweep_figure(batches: Mapping[int, Mapping[str, Curve]], title: str) -> Figure:
    """A row of two panels for each batch size.

    Args:
        batches: the curves by their label, by batch size.
        title: above the picture.
    """
    figure = new_figure(12.5, 4.6 * len(batches))
    steps = sorted({t for curves in batches.values() for c in curves.values() for t in (*c.memory, *c.speed)})
    styles = _styles({label: curve for curves in batches.values() for label, curve in curves.items()})
    handles: dict[str, Any] = {}
    panels = figure.subplots(len(batches), 2, squeeze=False)
    for (batch, curves), (memory, speed) in zip(batches.items(), panels, strict=True):
        for label, curve in curves.items():
            for axes, points in ((memory, curve.memory), (speed, curve.speed)):
                if points:
                    handles[label] = axes.plot(list(points), list(points.values()), label=label, **styles[label])[0]
        memory.set_yscale("log")
        memory.yaxis.set_major_formatter("{x:g}")
        memory.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))
        memory.set(ylabel=f"peak MB per image, batch {batch}")
        speed.set(ylabel=f"images/s, batch {batch}")
        speed.set_ylim(bottom=0)
        for axes in (memory, speed):
            axes.set_xscale("log", base=2)
            axes.set_xticks(steps, [str(t) for t in steps])
            axes.set(xlabel="timesteps T")
            tidy(axes)
    figure.suptitle(title)
    figure.legend(handles.values(), handles.keys(), loc="outside right center", frameon=False)
    return figure


def _styles(curves: Mapping[str, Curve]) -> dict[str, dict[str, Any]]:
    """A colour per family, a shade and a marker per member."""
    styles = {}
    families = dict.fromkeys(curve.family for curve in curves.values())
    for family, colours in zip(families, cycle(_SHADES), strict=False):
        members = [label for label, curve in curves.items() if curve.family == family]
        for i, label in enumerate(members):
            styles[label] = {
                "color": mpl.colormaps[colours](0.1 + 0.5 * i / max(1, len(members) - 1)),
                "marker": _MARKERS[i % len(_MARKERS)],
                "linewidth": 2.2 if curves[label].thick else 1.2,
                "markersize": 5,
            }
    return styles
