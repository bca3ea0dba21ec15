"""`trevsnn energy`: what it takes."""

from pathlib import Path
from typing import Annotated

from trevsnn.choices import Device
from trevsnn.cli.commands.light import light
from trevsnn.cli.image_source import ImageSource
from trevsnn.cli.parameters import FLAT, JsonFile, Switch, Whole


@light
def energy(
    network: str,
    /,
    *,
    firing_rate: float | None = None,
    source: Annotated[ImageSource, FLAT] = ImageSource(),  # noqa: B008 (frozen)
    images: Whole | None = None,
    fold: Switch = False,
    layers: Switch = False,
    over_time: Switch = False,
    plot: Path | None = None,
    device: Device = "auto",
    json: JsonFile = None,
) -> None:
    """Count operations, firing rates and energy of the inference of one image or clip.

    Shown are levels and steps, or every layer (--layers), then kinds of layers and the total. Energy stands there by
    two conventions: as published, and strictly, where a layer whose input is not spikes counts multiply-accumulates.

    Args:
        network: Run folder, weights file from one, or name of a network. A network by name is untrained: give
            --firing-rate or --data with it.
        firing_rate: Assume that every neuron fires at this rate, 0 to 1, in place of running images.
        images: How many test images to run, evenly spread over all of them; by default 256.
        fold: Count the network as it is deployed, the linear layers of its stem and head merged.
        layers: Show every layer in place of levels and steps.
        over_time: Show the cost at T = 1, 2, 4 and 8 with the number of blocks fixed, next to a spiking ResNet-34 at
            the same mean firing rate.
        plot: Draw that, too, to this PNG file.
        device: Where to compute; auto takes CUDA where there is a GPU.
        json: Also write all layers and the total to this file, energy in pJ.
    """
