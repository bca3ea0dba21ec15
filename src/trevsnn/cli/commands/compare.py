"""`trevsnn compare`: what it takes."""

from pathlib import Path

from trevsnn.choices import Device, Precision
from trevsnn.cli.commands.light import light
from trevsnn.cli.parameters import JsonFile, Switch, Whole
from trevsnn.studies.papers import FIRING_RATE


@light
def compare(
    *methods: str,
    reference: str | None = None,
    device: Device = "auto",
    batch: str | None = None,
    precision: Precision = "fp32",
    timesteps: str = "4",
    resolution: Whole | None = None,
    repeats: Whole = 5,
    firing_rate: float = FIRING_RATE,
    search_limit: float | None = None,
    plot: Path | None = None,
    output: Path | None = None,
    json: JsonFile = None,
    resume: Switch = False,
) -> None:
    """Measure methods side by side: parameters, operations, training memory, speed and energy, next to the papers'.

    A step is the same for all: forward pass, cross-entropy, backward pass, on random images; gradients are there
    beforehand, and there is no optimizer. Methods take turns. Energy is that of `trevsnn energy`. With several batch
    sizes or T, memory and speed are shown over T.

    Args:
        methods: Names of networks (see `trevsnn models`) or run folders. After a network of this library may follow a
            memory setting (trevsnn_small:packed), :checkpointed for PyTorch's own checkpointing of its cells, or :plain
            for the network written without this library; after one of SpikingJelly's -memopt, for its memory optimised
            by SpikingJelly, or -memopt1 to -memopt4 for one level of that.
        reference: Method that the others are compared with; by default trevsnn_small, or without it the first.
        device: Where to train; auto takes CUDA where there is a GPU.
        batch: Images in a step, or several numbers (64,256); by default 4 on a CPU and 64 on a GPU.
        precision: bf16 and fp16 are autocast.
        timesteps: T of the networks by name, or several (1,2,4).
        resolution: Height and width of their images (pixels); each network's own by default.
        repeats: Timed visits to each method.
        firing_rate: Of every neuron of the networks by name, which are untrained, 0 to 1; by default what makes the
            paper's 2.8 mJ of trevsnn_small.
        search_limit: Longest time that SpikingJelly may search for the plan of a network's memory (s); by default 600.
        plot: Also draw memory, speed and energy to this PNG file.
        output: Also write the tables to this Markdown file.
        json: Also write the table to this file, in bytes, seconds and pJ, figure by figure.
        resume: Go on from what the --json file holds of the networks by name.
    """
