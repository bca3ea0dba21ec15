"""A recording of an event camera as a picture."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from trevsnn.plots.style import CONTRAST, MAIN, new_figure, tidy

ON, OFF = CONTRAST, MAIN
_PER_ROW = 8
_BRIGHTEST = 99.0
"""Percentile of the counts of pixels with events that is drawn in full colour."""


def frames_figure(frames: np.ndarray, captions: Sequence[str], title: str, rates: Tensor | None = None) -> Figure:
    """Frames, and under them how often the levels of a network fire at each.

    Args:
        frames: (T, 2, H, W), counts of OFF and ON events.
        captions: T, above the frames.
        title: above all.
        rates: (T, L), share of the neurons of each level that fire, 0 to 1.
    """
    columns = min(_PER_ROW, len(frames))
    rows = math.ceil(len(frames) / columns)
    height, width = frames.shape[-2:]
    tall = 1.5 * rows * (height / width) + 0.45 * rows + 0.5
    figure = new_figure(1.5 * columns + 0.4, tall + (0 if rates is None else 2.4), dpi=130)
    parts = (tall,) if rates is None else (tall, 2.4)
    upper, *lower = figure.subfigures(len(parts), height_ratios=parts, squeeze=False).flat
    pictures = coloured(frames)
    for number, axes in enumerate(upper.subplots(rows, columns, squeeze=False).flat):
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color("#cccccc")
        axes.set_visible(number < len(frames))
        if number < len(frames):
            axes.imshow(pictures[number], interpolation="nearest")
            axes.set_title(captions[number], fontsize=8, parse_math=False)
    upper.suptitle(title, fontsize=10, parse_math=False)
    if rates is not None:
        _plot_rates(lower[0].subplots(), rates)
    return figure


def coloured(frames: np.ndarray) -> np.ndarray:
    """(T, 2, H, W) counts -> (T, H, W, 3), red for ON and blue for OFF, white where nothing happened."""
    seen = frames[frames > 0]
    strength = (frames / np.percentile(seen, _BRIGHTEST) if seen.size else frames).clip(0, 1)
    away = 1 - np.array([to_rgb(OFF), to_rgb(ON)])
    return (1 - np.einsum("tphw,pc->thwc", strength, away)).clip(0, 1)


def _plot_rates(axes: Axes, rates: Tensor) -> None:
    steps = range(len(rates))
    for level, values in enumerate(rates.T.tolist()):
        axes.plot(steps, [100 * value for value in values], "o-", markersize=4, label=f"level {level}")
    axes.set(xlabel="step", ylabel="neurons that fire (%)", xticks=list(steps))
    axes.set_ylim(bottom=0)
    tidy(axes)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
