"""A confusion matrix as a picture."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay
from torch import Tensor

from trevsnn.plots.lettering import drawable, letter_with_fonts, shortened, told_apart
from trevsnn.plots.style import new_figure

MOST_NAMED, _MOST_COUNTED = 60, 25
"""Most classes whose names, and whose counts, fit in."""


def confusion_figure(counts: Tensor, class_names: Sequence[str]) -> Figure:
    """How many samples of each class were taken for which.

    Args:
        counts: (num_classes, num_classes), of every true class how often each was found.
        class_names: of the classes, in order.
    """
    side = min(12.0, 3.5 + 0.35 * len(class_names))
    figure = new_figure(side, side, dpi=120)
    axes = figure.subplots()
    draw_confusion(axes, counts, class_names)
    axes.set_title(f"accuracy {float(counts.trace() / counts.sum()):.2%}")
    return figure


def draw_confusion(axes: Axes, counts: Tensor, class_names: Sequence[str], as_text: bool = False) -> None:
    """As `confusion_figure`, onto axes.

    Args:
        axes, counts, class_names: where, and what.
        as_text: names stay text in the picture, an SVG file, whose reader finds the fonts.
    """
    number = len(class_names)
    named = number <= MOST_NAMED
    labels = told_apart([(shortened if as_text else drawable)(name) for name in class_names]) if named else []
    ConfusionMatrixDisplay(counts.numpy(), display_labels=labels or None).plot(
        ax=axes,
        cmap="Blues",
        colorbar=False,
        include_values=number <= _MOST_COUNTED,
        xticks_rotation="vertical" if max(map(len, labels), default=0) > 2 else "horizontal",
    )
    if named:
        letter_with_fonts((*axes.get_xticklabels(), *axes.get_yticklabels()), () if as_text else labels)
    else:
        axes.set(xticks=[], yticks=[])
    axes.set(xlabel="class found", ylabel="class")
