"""`trevsnn gradients`: what it takes."""

from pathlib import Path
from typing import Annotated

from trevsnn.choices import Device
from trevsnn.cli.commands.light import light
from trevsnn.cli.image_source import ImageSource
from trevsnn.cli.parameters import FLAT, JsonFile, Whole


@light
def gradients(
    *runs: Path,
    source: Annotated[ImageSource, FLAT] = ImageSource(),  # noqa: B008 (frozen)
    images: Whole = 256,
    seed: Whole = 0,
    device: Device = "auto",
    output: Path | None = None,
    plot: Path | None = None,
    json: JsonFile = None,
) -> None:
    """Cut the temporal gradient at chosen neurons, and compare each layer's gradients with the uncut ones.

    The figures are cosine similarities, means over batches of training images, with the lowest and the highest run
    where there are several. "spatial" is the gradient of a layer's output, "weight" that of its weight.

    Without a run, an ordinary network (ms_resnet_digits) is trained on digits first, 8 epochs with each of three seeds;
    the same command goes on where it was stopped, and trains nothing twice.

    Args:
        runs: Run folders, or weights files from them: several of one network, of several seeds for example.
        images: How many training images to use, drawn at random, in batches of 64.
        seed: Of that draw, and of dropout and stochastic depth.
        device: Where to compute; auto takes CUDA where there is a GPU.
        output: Folder for the runs of digits, where no run is given; by default runs/gradients.
        plot: Also draw the spatial similarities to this PNG file.
        json: Also write the table to this file, a row per run and layer.
    """
