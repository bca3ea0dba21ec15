"""`trevsnn export`."""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from cyclopts import Parameter
from torch import Tensor

from trevsnn.cli.open_run import Trained, load_data, load_trained
from trevsnn.cli.output import JsonFile, check_file, check_json, plain_console, show_table, with_data, write_json
from trevsnn.data import BadImages, LabelledData, default_workers, evaluation_batches
from trevsnn.data.loading import readable
from trevsnn.data.splitting import Subset
from trevsnn.deployment import compare, export_nir, export_onnx, export_program, export_safetensors
from trevsnn.deployment.export import SpikeOp, require_package
from trevsnn.models.network import require_trevsnn
from trevsnn.training import RunFolder, TrainConfig
from trevsnn.training.config import Whole

Format = Literal["onnx", "torch-export", "safetensors", "nir"]

_ENDINGS = {"onnx": ".onnx", "torch-export": ".pt2", "safetensors": "-folded.safetensors", "nir": ".nir"}


def export_run(
    run: Path,
    /,
    *,
    to: Format,
    output: Path | None = None,
    opset: Whole | None = None,
    spike_op: SpikeOp | None = None,
    int8: Annotated[bool, Parameter(negative=())] = False,
    calibration_images: Whole = 256,
    test: Annotated[bool, Parameter(negative=())] = False,
    data: Path | None = None,
    val_split: float | None = None,
    skip_bad_images: Annotated[bool, Parameter(negative=())] = False,
    workers: Whole | None = None,
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
        data: Folder that holds the data set; by default where the run found it.
        val_split: Share of the images to test on, of a data set without val/, 1 for all; by default the run's.
        skip_bad_images: Leave out images that cannot be read; otherwise the first stops.
        workers: Processes that read images; by default one per CPU core, at most 8.
        json: Also write the table to this file.
    """
    check_json(json)
    if to != "onnx":
        options = {"opset": opset, "spike_op": spike_op, "int8": int8, "test": test}
        _refuse(options, f"is for --to onnx; leave it out for {to}")
    if not (int8 or test):
        options = {"data": data, "val_split": val_split, "workers": workers, "skip_bad_images": skip_bad_images}
        _refuse(options, "is for --int8 and --test, which read images; leave it out")
    if calibration_images < 1:
        raise ValueError(f"calibration_images={calibration_images} must be at least 1")
    if test:
        require_package("onnxruntime", "onnx")
    _check_finished(run)
    trained = load_trained(run, torch.device("cpu"))
    model = require_trevsnn(trained.model, "export")
    output = output or trained.file.with_name(trained.file.stem + ("-int8" if int8 else "") + _ENDINGS[to])
    check_file(output, "output")
    if output.exists() and output.samefile(trained.file):
        raise ValueError(f"output {str(output)!r} holds the weights themselves; give another name")
    dataset, bad = load_data(trained, data, val_split) if int8 or test else None, BadImages(skip_bad_images)
    if workers is None and dataset:
        workers = default_workers(dataset.in_memory)
    size = trained.preprocessing.input_size[1:]
    match to:
        case "onnx":
            export_onnx(
                model,
                output,
                size,
                trained.info,
                opset=opset,
                spike_op=spike_op or "comparison",
                calibration=_inputs(trained, dataset, calibration_images, workers, bad) if int8 and dataset else None,
            )
        case "torch-export":
            export_program(model, output, size, trained.info)
        case "safetensors":
            export_safetensors(model, output, trained.info)
        case "nir":
            export_nir(model, output, size, trained.info)
    rows: list[dict[str, Any]] = [{"file": str(file), "bytes": file.stat().st_size} for file in (trained.file, output)]
    columns = {"file": "file", "bytes": "bytes"}
    if test and dataset:
        batches = evaluation_batches(dataset.test, trained.preprocessing, workers=workers or 0)
        for row, result in zip(rows, compare(model, output, batches, bad), strict=True):
            found, images = result.evaluation, result.evaluation.images
            row |= {"images": images, "test_accuracy": found.accuracy, "ms_per_image": 1000 * result.seconds / images}
        columns |= {"images": "images", "test_accuracy": "test accuracy", "ms_per_image": "ms per image"}
    write_json(with_data(rows, dataset), json)
    show_table([{**row, "ms_per_image": f"{row.get('ms_per_image', 0):.3g}"} for row in rows], columns)
    for message in sorted(bad.known):
        plain_console().print(f"left out: {message}", soft_wrap=True)


def _refuse(options: Mapping[str, Any], reason: str) -> None:
    """Refuse options that have no effect.

    Raises:
        ValueError: when one is given.
    """
    for name, value in options.items():
        if value is not None and value is not False:
            raise ValueError(f"{name}={str(value) if isinstance(value, Path) else value!r} {reason}")


def _check_finished(run: Path) -> None:
    """Refuse a run folder whose last epoch is not done; a weights file is taken as it is.

    Raises:
        ValueError: saying how to go on.
    """
    folder = RunFolder(run)
    if not (run.is_dir() and folder.holds_run()):
        return
    dataset, config = folder.read_config(unknown_ok=True)
    done, epochs = len(folder.read_metrics()), TrainConfig(**config).epochs
    if done < epochs:
        kind = dataset.partition("/")[0]
        raise ValueError(
            f"run {str(run)!r} has done {done} of {epochs} epochs; finish it (trevsnn train {kind} --resume "
            f"{shlex.quote(str(run))}), or export a weights file from it"
            + (f", {str(folder.best)!r} for example" if folder.best.exists() else "")
        )


def _inputs(
    trained: Trained, dataset: LabelledData, count: int, workers: int | None, bad: BadImages
) -> Iterator[Tensor]:
    """Batches of so many training images, drawn from all, the same at every call; nothing is read before the first.

    Raises:
        ValueError: when there is none.
    """
    if dataset.train is None:
        raise ValueError(f"{dataset.name} data has no images to train on, which int8=True needs; leave it out")
    chosen = np.random.default_rng(0).permutation(len(dataset.train))[:count]
    samples = Subset(dataset.train, np.sort(chosen))
    for batch in readable(evaluation_batches(samples, trained.preprocessing, workers=workers or 0), bad):
        yield batch.images
