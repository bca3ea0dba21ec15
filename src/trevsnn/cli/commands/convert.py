"""`trevsnn convert`: what it takes."""

from pathlib import Path

from trevsnn.cli.commands.light import light


@light
def convert(source: Path, destination: Path, /) -> None:
    """Turn weights of the authors' public code into a weights file of ours. No code in the checkpoint is run.

    Args:
        source: PyTorch checkpoint (.pth) or safetensors file that holds them, whatever else stands beside; an average
            of the weights (ema) is taken where there is one.
        destination: Weights file (.safetensors) to write.
    """
