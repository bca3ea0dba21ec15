"""The figures of a report, each a picture that stands in the page itself."""

import base64
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from trevsnn._util.units import unit_of
from trevsnn.costs.energy import CONVENTIONS, PAPER, LayerCost, totals
from trevsnn.data import FramePreprocessing, Preprocessing
from trevsnn.neurons import Neuron
from trevsnn.plots.confusion import MOST_NAMED, draw_confusion
from trevsnn.plots.events import coloured
from trevsnn.plots.style import CONTRAST, MAIN, MUTED, SECOND
from trevsnn.report.findings import SpikeMaps
from trevsnn.report.potentials import BINS_PER_UNIT, EDGES, Potentials

SMALL = (4.4, 2.6)
"""Inches: little more than a phone is wide, so that letters can be read there."""
_WIDE = 6.0
"""Inches that do not go next to another figure."""
_STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",
    "legend.frameon": False,
}
_NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}
_LEFT_OUT = 1e-3
"""Share of the potentials of a level that its picture leaves out at either end."""
_MOST_BINS, _MOST_MERGED = 120, BINS_PER_UNIT // 2
"""Bins are drawn as one, in twos, fours and so on, until no more than this are left; 0.5 stays an edge."""
_MOST_MARKED, _MOST_WRITTEN = 40, 8
"""Epochs with a point each; steps whose rates fit in as numbers."""


@dataclass(frozen=True)
class Picture:
    """A figure and its words."""

    uri: str
    """All of it, as a data URI."""
    alt: str
    caption: str
    inches: float = 0.0
    """Width at which its letters have their size."""

    @property
    def wide(self) -> bool:
        """Whether it needs all the width that there is."""
        return self.inches > _WIDE


def curve(history: Sequence[Mapping[str, Any]], name: str, caption: str, label: str) -> Picture:
    """One of the metrics, by epoch.

    Args:
        history: a row per epoch.
        name: of the metric.
        caption: what it is.
        label: of the axis; a metric in % is a share, 0 to 1.
    """
    percent = label.endswith("%")
    epochs = [row["epoch"] for row in history]
    values = [row[name] * (100 if percent else 1) for row in history]

    def draw(axes: Axes) -> None:
        axes.plot(epochs, values, "o-" if len(epochs) <= _MOST_MARKED else "-", color=MAIN, markersize=3)
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)

    unit = " %" if percent else ""
    alt = f"{caption} by epoch: {values[0]:.4g}{unit} after epoch {epochs[0]}"
    if len(epochs) > 1:
        alt += f", {values[-1]:.4g}{unit} after epoch {epochs[-1]}"
    return _drawn(draw, SMALL, alt, caption)


def confusion(counts: Tensor, class_names: Sequence[str], things: str = "images") -> Picture:
    """How many images or recordings of each class were taken for which."""
    side = 5.0 if len(class_names) > MOST_NAMED else min(11.0, 2.0 + 0.25 * len(class_names))
    return _drawn(
        lambda axes: draw_confusion(axes, counts, class_names, as_text=True),
        (side, side),
        f"Confusion matrix of {len(class_names)} classes; {int(counts.trace())} of {int(counts.sum())} {things} lie "
        "on its diagonal",
        f"Confusion matrix: {things} of each class, by the class that was found",
    )


def energy(costs: Mapping[str, Sequence[LayerCost]]) -> Picture:
    """Energy by part of the network and convention."""
    parts = [{name: cost.energy for name, cost in totals(part).items()} for part in costs.values()]
    unit, scale = unit_of(sum(part[PAPER] for part in parts))
    height = 0.76 / len(CONVENTIONS)

    def draw(axes: Axes) -> None:
        places = np.arange(len(costs))
        for i, (name, colour) in enumerate(zip(CONVENTIONS, cycle((MAIN, SECOND, CONTRAST, MUTED)), strict=False)):
            shifted = places + (i - (len(CONVENTIONS) - 1) / 2) * 0.8 / len(CONVENTIONS)
            axes.barh(shifted, [part[name] / scale for part in parts], height, color=colour, label=name)
        axes.set(yticks=places, yticklabels=list(costs), xlabel=unit)
        axes.invert_yaxis()
        axes.grid(axis="x", alpha=0.3)
        axes.legend(loc="lower right")

    written = [", ".join(f"{energy / scale:.3g} {unit} {name}" for name, energy in part.items()) for part in parts]
    alt = "; ".join(f"{name} {words}" for name, words in zip(costs, written, strict=True))
    return _drawn(draw, (SMALL[0], 1 + 0.35 * len(costs)), f"Energy: {alt}", "Energy of the parts of the network")


def firing_rates(costs: Sequence[LayerCost]) -> Picture:
    """Of the spikes that every layer receives, by layer and step."""
    found: dict[tuple[int, int, str], dict[int, float]] = {}
    for layer in (cost.layer for cost in costs):
        if layer.binary and layer.step is not None and layer.level is not None and layer.firing_rate is not None:
            place = layer.level, -1 if layer.block is None else layer.block, layer.name
            found.setdefault(place, {})[layer.step] = layer.firing_rate
    places = sorted(found)
    steps = 1 + max(max(row) for row in found.values())
    rates = np.array([[found[place].get(t, np.nan) for t in range(steps)] for place in places])
    names = [f"level {level} {name if block < 0 else f'block {block} {name}'}" for level, block, name in places]

    def draw(axes: Axes) -> None:
        image = axes.imshow(100 * rates, aspect="auto", cmap="Blues", vmin=0, interpolation="nearest")
        axes.set(yticks=range(len(places)), yticklabels=names, xlabel="step")
        axes.set_xticks(np.arange(0, steps, -(-steps // _MOST_WRITTEN)))
        axes.tick_params(length=0)
        if steps <= _MOST_WRITTEN:
            _write(axes, 100 * rates)
        else:
            axes.figure.colorbar(image, label="%")

    alt = f"Firing rates of the spikes that {len(places)} layers receive at {steps} steps"
    alt += f": {np.nanmin(rates):.1%} to {np.nanmax(rates):.1%}"
    size = SMALL[0], 0.8 + 0.17 * len(places)
    return _drawn(draw, size, alt, "Firing rate of the spikes that each layer receives (%)")


def potentials(counted: Potentials, level: int) -> Picture:
    """Histogram of the membrane potentials of one level, all steps together and one by one."""
    density, edges = _histogram(counted.counts[:, level].double(), counted.neuron.window)
    rate = _mean_of(counted.firing_rate[:, level])
    window = _mean_of(counted.window_share[:, level])

    def draw(axes: Axes) -> None:
        axes.axvspan(*counted.neuron.window, color=SECOND, alpha=0.3, linewidth=0, label="surrogate window")
        axes.stairs(density.mean(0), edges, fill=True, color=MAIN, alpha=0.3, label="all steps")
        colours = mpl.colormaps["viridis"](np.linspace(0, 0.85, len(density)))
        named = len(density) <= _MOST_WRITTEN
        for t, values in enumerate(density):
            label = f"step {t}" if named else None
            axes.stairs(values, edges, baseline=None, color=colours[t], linewidth=0.8, label=label)
        if not named:
            scale = ScalarMappable(
                norm=BoundaryNorm(np.arange(len(density) + 1) - 0.5, len(density)), cmap=ListedColormap(colours)
            )
            axes.figure.colorbar(
                scale, ax=axes, label="step", ticks=range(0, len(density), -(-len(density) // _MOST_WRITTEN))
            )
        axes.axvline(counted.neuron.threshold, color=CONTRAST, linewidth=1.2, label="threshold")
        axes.set(xlabel="membrane potential", ylabel="density", xlim=(edges[0], edges[-1]))
        axes.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, columnspacing=1.0)

    alt = f"Histogram of the membrane potentials of level {level}: {rate:.1%} reach the threshold, {window:.1%} lie in "
    caption = f"Level {level}: {rate:.1%} fire, {window:.1%} in the window"
    return _drawn(draw, (SMALL[0], SMALL[1] + 0.4), f"{alt}the surrogate window", caption)


def spike_maps(
    shown: SpikeMaps, preprocessing: Preprocessing | FramePreprocessing, class_names: Sequence[str]
) -> Picture:
    """One image or clip, and which share of each level's channels fire where, a row per step."""
    steps = len(shown.maps)
    levels = len(shown.maps[0])
    pictures = []
    inputs = _as_seen(shown.pixels, preprocessing)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(steps, 1 + levels, squeeze=False)
        for t, row in enumerate(grid):
            for place, axes in enumerate(row):
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
                if place:
                    values = 100 * shown.maps[t][place - 1].numpy()
                    pictures.append(axes.imshow(values, cmap="Greys", vmin=0, vmax=100, interpolation="nearest"))
                elif t < len(inputs):
                    axes.imshow(inputs[t], interpolation="nearest")
                if t == 0:
                    axes.set_title(f"level {place - 1}" if place else "input", fontsize=9)
            row[0].set_ylabel(f"step {t}", fontsize=9)
        scale = figure.colorbar(pictures[0], ax=grid, orientation="horizontal", aspect=30, pad=0.02, fraction=0.05)
        scale.set_label("% of the channels that fire", fontsize=8)
        scale.ax.tick_params(labelsize=8)

    best, found = shown.probabilities.max(0)
    words = f"{class_names[shown.label]}, taken for {class_names[int(found)]} ({best:.0%})"
    rates = ", ".join(f"{_mean_of(torch.stack([step[level] for step in shown.maps])):.1%}" for level in range(levels))
    alt = f"Spike maps of an input of class {words}, {steps} steps by {levels} levels; of these levels fire {rates}"
    size = 0.3 + 0.85 * (1 + levels), 0.8 + 0.85 * steps
    return _drawn(draw, size, alt, words, kind="png", whole=True)


def _as_seen(pixels: Tensor, preprocessing: Preprocessing | FramePreprocessing) -> np.ndarray:
    """(T, H, W, 3), or (1, H, W, 3) of an image, 0 to 1."""
    if isinstance(preprocessing, FramePreprocessing):
        return coloured(pixels.numpy())
    mean, std = (torch.tensor(values).reshape(-1, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    return (pixels * std + mean).clamp(0, 1).expand(3, -1, -1).permute(1, 2, 0)[None].numpy()


def _histogram(counts: Tensor, window: tuple[float, float] = Neuron.window) -> tuple[np.ndarray, np.ndarray]:
    """Counts (T, BINS) -> the part worth drawing: density (T, bins), and the edges (bins + 1,)."""
    seen = counts.sum(0) / counts.sum()
    worth = (seen.cumsum(0) > _LEFT_OUT) & (seen.flip(0).cumsum(0).flip(0) > _LEFT_OUT)
    worth |= (EDGES[1:] > window[0] - 0.5) & (EDGES[:-1] < window[1] + 0.5)
    first, *_, last = worth.nonzero().flatten().tolist()
    merged = 1
    while merged < _MOST_MERGED and (last - first) // merged > _MOST_BINS:
        merged *= 2
    first, last = first // merged, last // merged + 1
    density = counts.unflatten(1, (-1, merged)).sum(-1) / counts.sum(-1, keepdim=True) * BINS_PER_UNIT / merged
    return density[:, first:last].numpy(), EDGES[::merged][first : last + 1].numpy()


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
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the browser has it
        figure = Figure(figsize=size, layout="constrained")
        draw(figure if whole else figure.subplots())
        figure.savefig(buffer, format=kind, dpi=150, metadata=_NO_METADATA if kind == "svg" else None)
    mime = "image/svg+xml" if kind == "svg" else "image/png"
    return Picture(f"data:{mime};base64,{base64.b64encode(buffer.getvalue()).decode()}", alt, caption, size[0])
