"""`trevsnn report`: what it takes."""

from pathlib import Path
from typing import Annotated

from trevsnn.choices import Device
from trevsnn.cli.commands.light import light
from trevsnn.cli.image_source import ImageSource
from trevsnn.cli.parameters import FLAT, Whole


@light
def report(
    run: Path,
    /,
    *,
    output: Path | None = None,
    source: Annotated[ImageSource, FLAT] = ImageSource(),  # noqa: B008 (frozen)
    images: Whole | None = None,
    device: Device = "auto",
) -> None:
    """Write a page about a run: learning curves, test, energy, membrane potentials, memory, spike maps, settings.

    The page is one HTML file that needs nothing but itself, on a screen or on paper.

    Args:
        run: Run folder, or a weights file in one, its best.safetensors for example.
        output: HTML file to write; by default report.html in the run folder.
        images: How many test images to run, evenly spread over all of them; by default all. Energy is a mean of 256 at
            most.
        device: Where to compute; auto takes CUDA where there is a GPU.
    """
