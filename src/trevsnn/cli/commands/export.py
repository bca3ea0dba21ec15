"""`trevsnn export`: what it takes."""

from pathlib import Path
from typing import Annotated, Literal

from trevsnn.choices import SpikeOp
from trevsnn.cli.commands.light import light
from trevsnn.cli.image_source import ImageSource
from trevsnn.cli.parameters import FLAT, JsonFile, Switch, Whole

Format = Literal["onnx", "torch-export", "safetensors", "nir"]


@light
def export_run(
    run: Path,
    /,
    *,
    to: Format,
    output: Path | None = None,
    opset: Whole | None = None,
    spike_op: SpikeOp | None = None,
    int8: Switch = False,
    calibration_images: Whole = 256,
    test: Switch = False,
    source: Annotated[ImageSource, FLAT] = ImageSource(),  # noqa: B008 (frozen)
    json: JsonFile = None,
) -> None:
    """Write the network of a run for other programs, folded.

    Args:
        run: Run folder, or a weights file from one, its best.safetensors for example.
        to: Format of the file; nir is experimental.
        output: File to write; by default next to the weights.
        opset: Version of ONNX's operators, for onnx; 18 by default.
        spike_op: How ONNX spells a spike: as a comparison, by default, or as a hard sigmoid, which is the same in
            float32 and faster in ONNX Runtime.
        int8: Convolutions in 8 bits, for onnx; their ranges are those on images that the run was trained on.
        calibration_images: How many of these.
        test: Test the file in ONNX Runtime on the test images of the data set, and the network itself too: accuracy,
            and the time that an image takes in batches of 64 on this machine.
        json: Also write the table to this file.
    """
