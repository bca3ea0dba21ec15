"""`trevsnn eval`."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
from cyclopts import Parameter

from trevsnn.cli.output import JsonFile, check_file, check_json, plain_console, show_table, write_json
from trevsnn.cli.weights import load_trained
from trevsnn.data import BadImages, FramePreprocessing, default_workers, evaluation_batches, load_dataset
from trevsnn.data.loading import Batch
from trevsnn.data.registry import RECORDING_FOLDER
from trevsnn.training import RunFolder, TrainConfig, choose_device, evaluate
from trevsnn.training.config import Device, Whole
from trevsnn.training.confusion_plot import plot_confusion
from trevsnn.training.conversion import with_frames


def evaluate_run(
    run: Path,
    /,
    *,
    data: Path | None = None,
    val_split: float | None = None,
    skip_bad_images: Annotated[bool, Parameter(negative=())] = False,
    shuffle_frames: Annotated[bool, Parameter(negative=())] = False,
    workers: Whole | None = None,
    device: Device = "auto",
    confusion: Path | None = None,
    json: JsonFile = None,
) -> None:
    """Print the accuracy of a run on the test images of its data set.

    Args:
        run: Run folder, or a weights file from one, its best.safetensors for example.
        data: Folder that holds the data set, or class folders to test on; by default what the run was trained on.
        val_split: Share of the images to test on, of a data set without val/, 1 for all; by default the run's.
        skip_bad_images: Leave out images that cannot be read; otherwise the first stops the test.
        shuffle_frames: Show the frames of recordings in random order: what is lost is what their order tells.
        workers: Processes that read images; by default one per CPU core, at most 8.
        device: Where to compute; auto takes CUDA where there is a GPU.
        confusion: Also draw the confusion matrix to this PNG file.
        json: Also write the table to this file.
    """
    check_json(json)
    check_file(confusion, "confusion file")
    trained = load_trained(run, choose_device(device))
    if trained.info.dataset is None:
        raise ValueError(
            f"{str(trained.file)!r} does not say which dataset it was trained on; give a run of `trevsnn train`"
        )
    folder = RunFolder(trained.file.parent)
    config = TrainConfig(**folder.read_config()[1]) if folder.holds_run() else TrainConfig()
    if data is not None and val_split is None and config.val_split is not None:
        raise ValueError(
            f"the run was tested on a share of its images; give --val-split {config.val_split} for the same share of "
            f"{str(data)!r}, or 1 for all"
        )
    val_split = config.val_split if val_split is None else val_split
    config = replace(config, data=data or config.data)
    name, preprocessing = trained.info.dataset, trained.preprocessing
    sensor = preprocessing.sensor_size if isinstance(preprocessing, FramePreprocessing) else None
    dataset = load_dataset(
        name, config.data, None if val_split == 1 else val_split, sensor if name == RECORDING_FOLDER else None
    )
    dataset = with_frames(dataset, preprocessing, config)
    if trained.info.class_names not in (None, dataset.class_names):
        raise ValueError(
            f"{dataset.name} data has other classes than {str(trained.file)!r} was trained on: "
            f"{len(dataset.class_names)}, {dataset.class_names[0]!r} the first"
        )
    workers = default_workers(dataset.in_memory) if workers is None else workers
    batches, bad = evaluation_batches(dataset.test, preprocessing, workers=workers), BadImages(skip_bad_images)
    if shuffle_frames:
        if not trained.model.config.frames:
            raise ValueError("shuffle_frames=True is for recordings; images have no frames")
        batches = _shuffled(batches)
    result = evaluate(trained.model, batches, bad)
    if confusion is not None:
        plot_confusion(result.confusion, dataset.class_names, confusion)
    row = {
        "run": str(run),
        "model": trained.info.model,
        "dataset": dataset.name,
        "split": dataset.split or "its own",
        "images": result.images,
        "test_loss": result.loss,
        "test_accuracy": result.accuracy,
        "weights": trained.info.note or "",
        "bad_images": sorted(bad.known),
    }
    columns = {
        "run": "run",
        "weights": "weights",
        "dataset": "data",
        "split": "test split",
        "images": "images",
        "test_accuracy": "test accuracy",
    }
    write_json([row], json)
    show_table([row], columns)
    for message in row["bad_images"]:
        plain_console().print(f"left out: {message}", soft_wrap=True)


def _shuffled(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The frames of each clip in an order of its own, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    for batch in batches:
        order = torch.rand(batch.images.shape[:2], generator=generator).argsort(0)
        yield batch._replace(images=batch.images.take_along_dim(order[..., None, None, None], 0))
