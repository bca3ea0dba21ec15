"""`trevsnn memory`: what it takes."""

from pathlib import Path
from typing import Annotated, Literal

from trevsnn.choices import Optimizer, Precision
from trevsnn.cli.commands.light import light
from trevsnn.cli.parameters import SEVERAL, JsonFile


@light
def memory(
    model: str,
    /,
    *,
    batch: int = 16,
    resolution: int | None = None,
    timesteps: int | None = None,
    precision: Precision = "fp32",
    optimizer: Optimizer = "adamw",
    budget: str | None = None,
    plot: Path | None = None,
    plot_timesteps: Annotated[tuple[int, ...], SEVERAL] = (1, 2, 4, 8, 16),
    device: Literal["all", "cpu", "cuda"] = "all",
    json: JsonFile = None,
) -> None:
    """Measure where the bytes of one training step go, in each memory setting.

    Args:
        model: Name of the network.
        batch: Images in the step.
        resolution: Height and width of the images (pixels); the network's own by default.
        timesteps: T; the network's own by default.
        precision: bf16 and fp16 are autocast.
        optimizer: Update rule.
        budget: Memory of a device, 24GB for example: say how many images fit, too, by a line through this batch and one
            of twice its size.
        plot: Also measure other T, and draw the bytes per image to this PNG file.
        plot_timesteps: Which T those are.
        device: Where to measure; by default on the CPU, and with CUDA too where there is a GPU.
        json: Also write the table to this file, in bytes.
    """
