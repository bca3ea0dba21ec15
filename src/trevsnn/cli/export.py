"""`trevsnn export`."""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trevsnn.choices import SpikeOp
from trevsnn.cli.found_data import with_data
from trevsnn.cli.image_source import ImageSource
from trevsnn.cli.open_run import OpenedImages, load_trained, open_images
from trevsnn.cli.output import check_file, check_json, say, show_table, write_json
from trevsnn.data.loading import readable
from trevsnn.data.splitting import Subset
from trevsnn.deployment import compare, export_nir, export_onnx, export_program, export_safetensors
from trevsnn.deployment.export import require_package
from trevsnn.models.network import require_trevsnn
from trevsnn.training import RunFolder, TrainConfig

_ENDINGS = {"onnx": ".onnx", "torch-export": ".pt2", "safetensors": "-folded.safetensors", "nir": ".nir"}


def export_run(
    run: Path,
    /,
    *,
    to: str,
    output: Path | None,
    opset: int | None,
    spike_op: SpikeOp | None,
    int8: bool,
    calibration_images: int,
    test: bool,
    source: ImageSource,
    json: Path | None,
) -> None:
    """See `trevsnn.cli.commands.export`."""
    check_json(json)
    if to != "onnx":
        options = {"opset": opset, "spike_op": spike_op, "int8": int8, "test": test}
        _refuse(options, f"is for --to onnx; leave it out for {to}")
    if not (int8 or test):
        _refuse(vars(source), "is for --int8 and --test, which read images; leave it out")
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
    images = open_images(trained, source) if int8 or test else None
    size = trained.preprocessing.input_size[1:]
    match to:
        case "onnx":
            calibration = _inputs(images, calibration_images) if int8 and images else None
            spelling = spike_op or "comparison"
            export_onnx(model, output, size, trained.info, opset=opset, spike_op=spelling, calibration=calibration)
        case "torch-export":
            export_program(model, output, size, trained.info)
        case "safetensors":
            export_safetensors(model, output, trained.info)
        case "nir":
            export_nir(model, output, size, trained.info)
    rows: list[dict[str, Any]] = [{"file": str(file), "bytes": file.stat().st_size} for file in (trained.file, output)]
    columns = {"file": "file", "bytes": "bytes"}
    if test and images:
        batches = images.batches(images.dataset.test)
        for row, result in zip(rows, compare(model, output, batches, images.bad), strict=True):
            found, count = result.evaluation, result.evaluation.images
            row |= {"images": count, "test_accuracy": found.accuracy, "ms_per_image": 1000 * result.seconds / count}
        columns |= {"images": "images", "test_accuracy": "test accuracy", "ms_per_image": "ms per image"}
    write_json(with_data(rows, images and images.dataset), json)
    show_table([{**row, "ms_per_image": f"{row.get('ms_per_image', 0):.3g}"} for row in rows], columns)
    if images is not None:
        say(*images.left_out)


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


def _inputs(images: OpenedImages, count: int) -> Iterator[Tensor]:
    """Batches of so many training images, drawn from all, the same at every call; nothing is read before the first.

    Raises:
        ValueError: when there is none.
    """
    train = images.dataset.train
    if train is None:
        raise ValueError(f"{images.dataset.name} data has no images to train on, which int8=True needs; leave it out")
    chosen = np.random.default_rng(0).permutation(len(train))[:count]
    for batch in readable(images.batches(Subset(train, np.sort(chosen))), images.bad):
        yield batch.images
