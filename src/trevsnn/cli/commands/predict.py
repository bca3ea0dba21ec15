"""`trevsnn predict`: what it takes."""

from pathlib import Path

from trevsnn.choices import Device
from trevsnn.cli.commands.light import light
from trevsnn.cli.parameters import JsonFile, Switch, Whole


@light
def predict_images(
    run: Path,
    /,
    *images: Path,
    top: Whole = 1,
    invert: Switch = False,
    skip_bad_images: Switch = False,
    device: Device = "auto",
    json: JsonFile = None,
) -> None:
    """Print the class and its probability for each image or recording.

    What cannot be read is named after the others' classes, and makes the exit code 2.

    Args:
        run: Run folder, or a weights file from one, its best.safetensors for example.
        images: Image files of any size and mode, or folders of them, searched to the bottom; for a run on events,
            recordings of its sensor.
        top: How many of the most probable classes to show.
        invert: Swap dark and light first: for dark ink on white paper.
        skip_bad_images: Let the exit code be 0 although some cannot be read.
        device: Where to compute; auto takes CUDA where there is a GPU.
        json: Also write the table, with the probability of every class, to this file.
    """
