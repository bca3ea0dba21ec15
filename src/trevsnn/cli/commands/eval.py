"""`trevsnn eval`: what it takes."""

from pathlib import Path
from typing import Annotated

from trevsnn.choices import Device
from trevsnn.cli.commands.light import light
from trevsnn.cli.image_source import ImageSource
from trevsnn.cli.parameters import FLAT, JsonFile, Switch


@light
def evaluate_run(
    run: Path,
    /,
    *,
    source: Annotated[ImageSource, FLAT] = ImageSource(),  # noqa: B008 (frozen)
    shuffle_frames: Switch = False,
    device: Device = "auto",
    confusion: Path | None = None,
    json: JsonFile = None,
) -> None:
    """Print the accuracy of a run on the test images of its data set.

    Args:
        run: Run folder, or a weights file from one, its best.safetensors for example.
        shuffle_frames: Show the frames of recordings in random order: what is lost is what their order tells.
        device: Where to compute; auto takes CUDA where there is a GPU.
        confusion: Also draw the confusion matrix to this PNG file.
        json: Also write the table to this file.
    """
