"""Similarity of gradients layer by layer, as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from trevsnn._util.files import atomic_path

_COLOURS = {"all but last": "#2a6f97", "only last": "#d99a2b", "all": "#b0413e"}


def plot_gradients(
    layers: Sequence[str],
    similarities: Mapping[str, Sequence[Sequence[float | None]]],
    where: Mapping[str, str],
    title: str,
    path: Path,
) -> None:
    """Draw the cosine similarity of spatial gradients with the uncut ones to a PNG file.

    Args:
        layers: names, from the input on.
        similarities: by cut, for each run a value per layer; drawn are their mean and their range.
        where: by cut, in words.
        title: above the picture.
        path: file to write.
    """
    figure = Figure(figsize=(8.6, 4.6), layout="constrained")
    axes = figure.subplots()
    places = range(len(layers))
    for cut, runs in similarities.items():
        if cut not in _COLOURS:
            continue
        columns = [[value for value in column if value is not None] for column in zip(*runs, strict=True)]
        known = [(place, column) for place, column in zip(places, columns, strict=True) if column]
        known_places, means = [place for place, _ in known], [sum(column) / len(column) for _, column in known]
        axes.plot(known_places, means, "o-", markersize=4, color=_COLOURS[cut], label=f"cut {where[cut]}")
        lowest, highest = [min(column) for _, column in known], [max(column) for _, column in known]
        axes.fill_between(known_places, lowest, highest, color=_COLOURS[cut], alpha=0.2, linewidth=0)
    axes.set_xticks(places, layers, rotation=90, fontsize=7)
    axes.set_ylabel("cosine similarity with full BPTT")
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower right")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
