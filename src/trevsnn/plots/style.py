"""What all pictures have in common: colours, the look of axes, and how they are saved."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trevsnn._util.files import atomic_path

MAIN, CONTRAST, SECOND, MUTED = "#2a6f97", "#b0413e", "#d99a2b", "#9aa5b1"
"""What a picture is about, what it is set against, what comes next, and what stands in the background."""


def new_figure(width: float, height: float, dpi: int = 150) -> Figure:
    """An empty figure of this size (inches), in pixels per inch as a PNG file."""
    return Figure(figsize=(width, height), dpi=dpi, layout="constrained")


def tidy(axes: Axes, grid: bool = True) -> None:
    """Axes without a frame above and on the right, over a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    if grid:
        axes.grid(alpha=0.3)


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure to a PNG file, whole or not at all."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi="figure", format="png")
