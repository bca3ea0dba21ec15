"""Similarity of gradients layer by layer, as a picture."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from trevsnn.plots.style import CONTRAST, MAIN, SECOND, new_figure, tidy

_COLOURS = {"all but last": MAIN, "only last": SECOND, "all": CONTRAST}


def gradients_figure(
    layers: Sequence[str],
    similarities: Mapping[str, Sequence[Sequence[float | None]]],
    where: Mapping[str, str],
    title: str,
) -> Figure:
    """Cosine similarity of spatial gradients with the uncut ones, layer by layer.

    Args:
        layers: names, from the input on.
        similarities: by cut, for each run a value per layer; drawn are their mean and their range.
        where: by cut, in words.
        title: above the picture.
    """
    figure = new_figure(8.6, 4.6)
    axes = figure.subplots()
    places = range(len(layers))
    for cut, runs in similarities.items():
        if cut not in _COLOURS:
            continue
        columns = [[value for value in column if value is not None] for column in zip(*runs, strict=True)]
        known = [(place, column) for place, column in zip(places, columns, strict=True) if column]
        known_places = [place for place, _ in known]
        means = [sum(column) / len(column) for _, column in known]
        axes.plot(known_places, means, "o-", markersize=4, color=_COLOURS[cut], label=f"cut {where[cut]}")
        lowest = [min(column) for _, column in known]
        highest = [max(column) for _, column in known]
        axes.fill_between(known_places, lowest, highest, color=_COLOURS[cut], alpha=0.2, linewidth=0)
    axes.set_xticks(places, layers, rotation=90, fontsize=7)
    axes.set_ylabel("cosine similarity with full BPTT")
    axes.set_title(title, fontsize=10)
    tidy(axes)
    axes.legend(frameon=False, loc="lower right")
    return figure
