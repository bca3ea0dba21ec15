"""The figures of a report, each a picture that stands in the page itself."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from trevsnn.analysis.energy import LayerCost, total, unit_of
from trevsnn.analysis.events_plot import coloured
from trevsnn.analysis.report.findings import SpikeMaps
from trevsnn.analysis.report.potentials import BINS_PER_UNIT, EDGES, Potentials
from trevsnn.data import FramePreprocessing, Preprocessing
from trevsnn.neurons.masks import THRESHOLD, WINDOW
from trevsnn.training.confusion_plot import draw_confusion

BLUE, RED, GOLD = "#2a6f97", "#b0413e", "#d99a2b"
SMALL = (3.6, 2.3)
"""Inches: as wide as a phone, so that letters are not shrunk there."""
_STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",
    "legend.frameon": False,
}
_NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}
_LEAST_SHOWN = 1e-4
"""Share of the potentials of a level below which bins at the ends are left out of its picture."""
_MOST_MARKED, _MOST_WRITTEN = 40, 8
"""Epochs with a point each; steps for whose rates there is room as numbers."""


@dataclass(frozen=True)
class Picture:
    """A figure and its words."""

    uri: str
    """All of it, as a data URI."""
    alt: str
    caption: str


def curve(history: Sequence[Mapping[str, Any]], name: str, caption: str, percent: bool = False) -> Picture:
    """One of the metrics, by epoch.

    Args:
        history: a row per epoch.
        name: of the metric.
        caption: what it is.
        percent: whether it is a share, 0 to 1.
    """
    epochs, values = [row["epoch"] for row in history], [row[name] * (100 if percent else 1) for row in history]

    def draw(axes: Axes) -> None:
        axes.plot(epochs, values, "o-" if len(epochs) <= _MOST_MARKED else "-", color=BLUE, markersize=3)
        axes.set(xlabel="epoch", ylabel="%" if percent else "")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)

    unit = " %" if percent else ""
    alt = f"{caption} by epoch: {values[0]:.4g}{unit} after epoch {epochs[0]}"
    if len(epochs) > 1:
        alt += f", {values[-1]:.4g}{unit} after epoch {epochs[-1]}"
    return _drawn(draw, SMALL, alt, caption)


def confusion(counts: Tensor, class_names: Sequence[str]) -> Picture:
    """How many images of each class were taken for which."""
    side = min(7.0, 3.0 + 0.16 * len(class_names))
    return _drawn(
        lambda axes: draw_confusion(axes, counts, class_names),
        (side, side),
        f"Confusion matrix of {len(class_names)} classes; {int(counts.trace())} of {int(counts.sum())} images lie on "
        "its diagonal",
        "Confusion matrix: images of each class, by the class that was found",
    )


def energy(costs: Mapping[str, Sequence[LayerCost]]) -> Picture:
    """Energy by part of the network and convention."""
    published = [total(cost.published for cost in part).energy for part in costs.values()]
    strict = [total(cost.strict for cost in part).energy for part in costs.values()]
    unit, scale = unit_of(sum(published))

    def draw(axes: Axes) -> None:
        places = np.arange(len(costs))
        axes.barh(places - 0.2, [value / scale for value in published], 0.38, color=BLUE, label="published")
        axes.barh(places + 0.2, [value / scale for value in strict], 0.38, color=GOLD, label="strict")
        axes.set(yticks=places, yticklabels=list(costs), xlabel=unit)
        axes.invert_yaxis()
        axes.grid(axis="x", alpha=0.3)
        axes.legend()

    alt = "; ".join(
        f"{name} {p / scale:.3g} {unit} published, {s / scale:.3g} {unit} strict"
        for name, p, s in zip(costs, published, strict, strict=True)
    )
    return _drawn(draw, (SMALL[0], 1 + 0.35 * len(costs)), f"Energy: {alt}", "Energy of the parts of the network")


def firing_rates(costs: Sequence[LayerCost]) -> Picture:
    """Of the spikes that every layer receives, by layer and step."""
    driven = [cost.layer for cost in costs if cost.layer.binary and cost.layer.step is not None]
    places = sorted({(layer.level, -1 if layer.block is None else layer.block, layer.name) for layer in driven})
    steps = 1 + max(layer.step for layer in driven)
    rates = np.full((len(places), steps), np.nan)
    for layer in driven:
        rates[places.index((layer.level, -1 if layer.block is None else layer.block, layer.name)), layer.step] = (
            layer.firing_rate
        )
    names = [f"level {level} {name if block < 0 else f'block {block} {name}'}" for level, block, name in places]

    def draw(axes: Axes) -> None:
        image = axes.imshow(100 * rates, aspect="auto", cmap="Blues", vmin=0, interpolation="nearest")
        axes.set(yticks=range(len(places)), yticklabels=names, xlabel="step")
        axes.set_xticks(range(steps), range(1, steps + 1))
        axes.tick_params(length=0)
        if steps <= _MOST_WRITTEN:
            _write(axes, 100 * rates)
        else:
            axes.figure.colorbar(image, label="%")

    alt = f"Firing rates of the spikes that {len(places)} layers receive at {steps} steps"
    alt += f": {np.nanmin(rates):.1%} to {np.nanmax(rates):.1%}"
    return _drawn(draw, (4.4, 0.8 + 0.17 * len(places)), alt, "Firing rate of the spikes that each layer receives (%)")


def potentials(counted: Potentials, level: int) -> Picture:
    """Histogram of the membrane potentials of one level, all steps together and one by one."""
    counts = counted.counts[:, level].double()
    shares = counts / counts.sum(-1, keepdim=True)
    first, last = _shown_bins(counts.sum(0))
    edges = EDGES[first : last + 2]
    rate, window = _mean_of(counted.firing_rate[:, level]), _mean_of(counted.window_share[:, level])

    def draw(axes: Axes) -> None:
        axes.axvspan(*WINDOW, color=GOLD, alpha=0.25, linewidth=0, label="surrogate window")
        per_unit = shares[:, first : last + 1] * BINS_PER_UNIT
        axes.stairs(per_unit.mean(0), edges, fill=True, color=BLUE, alpha=0.35, label="all steps")
        colours = mpl.colormaps["viridis"](np.linspace(0, 0.85, len(counts)))
        for t, values in enumerate(per_unit):
            named = f"step {t + 1}" if t in (0, len(counts) - 1) else None
            axes.stairs(values, edges, color=colours[t], linewidth=0.8, label=named)
        axes.axvline(THRESHOLD, color=RED, linewidth=1.2, label="threshold")
        axes.set(xlabel="membrane potential", ylabel="density", xlim=(float(edges[0]), float(edges[-1])))
        axes.set_yscale("log")
        axes.set_ylim(bottom=1e-3)
        axes.legend(fontsize=6.5, loc="best")

    alt = f"Histogram of the membrane potentials of level {level}: {rate:.1%} reach the threshold, {window:.1%} lie in "
    return _drawn(
        draw, SMALL, alt + "the surrogate window", f"Level {level}: {rate:.1%} fire, {window:.1%} in the window"
    )


def spike_maps(
    shown: SpikeMaps, preprocessing: Preprocessing | FramePreprocessing, class_names: Sequence[str]
) -> Picture:
    """One image or clip, and which share of each level's channels fire where, a row per step."""
    steps, levels = len(shown.maps), len(shown.maps[0])
    inputs = _as_seen(shown.pixels, preprocessing)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(steps, 1 + levels, squeeze=False)
        for t, row in enumerate(grid):
            for place, axes in enumerate(row):
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
                if place:
                    axes.imshow(shown.maps[t][place - 1], cmap="Greys", vmin=0, vmax=1, interpolation="nearest")
                elif t < len(inputs):
                    axes.imshow(inputs[t], interpolation="nearest")
                if t == 0:
                    axes.set_title(f"level {place - 1}" if place else "input", fontsize=9)
            row[0].set_ylabel(f"step {t + 1}", fontsize=9)

    best, found = shown.probabilities.max(0)
    words = f"{class_names[shown.label]}, taken for {class_names[found]} ({best:.0%})"
    rates = ", ".join(f"{_mean_of(torch.stack([step[level] for step in shown.maps])):.1%}" for level in range(levels))
    alt = f"Spike maps of an input of class {words}, {steps} steps by {levels} levels; of these levels fire {rates}"
    return _drawn(draw, (0.3 + 0.85 * (1 + levels), 0.3 + 0.85 * steps), alt, words, kind="png", whole=True)


def _as_seen(pixels: Tensor, preprocessing: Preprocessing | FramePreprocessing) -> np.ndarray:
    """(T, H, W, 3), or (1, H, W, 3) of an image, 0 to 1."""
    if isinstance(preprocessing, FramePreprocessing):
        return coloured(pixels.numpy())
    mean, std = (torch.tensor(values).reshape(-1, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    return (pixels * std + mean).clamp(0, 1).expand(3, -1, -1).permute(1, 2, 0)[None].numpy()


def _shown_bins(counts: Tensor) -> tuple[int, int]:
    """First and last bin worth drawing: the surrogate window and its surroundings, and all but a few potentials."""
    below, above = counts.cumsum(0) / counts.sum(), counts.flip(0).cumsum(0).flip(0) / counts.sum()
    worth = (below > _LEAST_SHOWN) & (above > _LEAST_SHOWN)
    worth |= (EDGES[1:] > WINDOW[0] - 0.5) & (EDGES[:-1] < WINDOW[1] + 0.5)
    found = worth.nonzero().flatten()
    return int(found[0]), int(found[-1])


def _mean_of(values: Tensor) -> float:
    return float(values.double().mean())


def _write(axes: Axes, values: np.ndarray) -> None:
    """Numbers onto a picture."""
    for (row, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            dark = value > 0.6 * np.nanmax(values)
            axes.text(
                column, row, f"{value:.1f}", ha="center", va="center", fontsize=7, color="white" if dark else "black"
            )


def _drawn(
    draw: Callable[[Any], None],
    size: tuple[float, float],
    alt: str,
    caption: str,
    kind: str = "svg",
    whole: bool = False,
) -> Picture:
    """What `draw` makes of axes, or of the whole figure, of this size (inches)."""
    buffer = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure if whole else figure.subplots())
        if kind == "svg":
            figure.savefig(buffer, format="svg", dpi=150, metadata=_NO_METADATA)
        else:
            figure.savefig(buffer, format="png", dpi=150)
    mime = "image/svg+xml" if kind == "svg" else "image/png"
    return Picture(f"data:{mime};base64,{base64.b64encode(buffer.getvalue()).decode()}", alt, caption)
