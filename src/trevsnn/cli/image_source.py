"""The options of commands that take images of the data set of a run."""

from dataclasses import dataclass
from pathlib import Path

from trevsnn.cli.parameters import Switch, Whole


@dataclass(frozen=True, kw_only=True)
class ImageSource:
    """Where images come from; `trevsnn.cli.open_run.open_images` opens them."""

    data: Path | None = None
    """Folder that holds the data set, or class folders; by default what the run was trained on."""
    val_split: float | None = None
    """Share of the images to test on, of a data set without val/, 1 for all; by default the run's."""
    skip_bad_images: Switch = False
    """Leave out images that cannot be read; otherwise the first stops."""
    workers: Whole | None = None
    """Processes that read images; by default one per CPU core, at most 8."""
