"""`trevsnn eval`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import torch
from cyclopts import Parameter

from trevsnn.cli.open_run import load_data, load_trained
from trevsnn.cli.output import JsonFile, check_file, check_json, plain_console, show_table, with_data, write_json
from trevsnn.cli.remarks import remarks_on
from trevsnn.data import BadImages, default_workers, evaluation_batches
from trevsnn.data.loading import Batch
from trevsnn.training import choose_device, evaluate
from trevsnn.training.config import Device, Whole

_ADVICE = "train it longer, with a smaller --batch-size or another --lr"


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
    dataset = load_data(trained, data, val_split)
    workers = default_workers(dataset.in_memory) if workers is None else workers
    batches, bad = evaluation_batches(dataset.test, trained.preprocessing, workers=workers), BadImages(skip_bad_images)
    if shuffle_frames:
        if not trained.model.config.frames:
            raise ValueError("shuffle_frames=True is for recordings; images have no frames")
        batches = _shuffled(batches)
    result = evaluate(trained.model, batches, bad)
    if confusion is not None:
        from trevsnn.plots.confusion import confusion_figure  # matplotlib is slow to import
        from trevsnn.plots.style import save_png

        save_png(confusion_figure(result.confusion, dataset.class_names), confusion)
    things = "recordings" if trained.model.config.frames else "images"
    row = {
        "run": str(run),
        "model": trained.info.model,
        "dataset": dataset.name,
        "split": dataset.split or "its own",
        "images": result.images,
        "test_loss": result.loss,
        "test_accuracy": result.accuracy,
        "weights": trained.info.note or "",
        "input_size": trained.preprocessing.input_size,
        "bad_images": sorted(bad.known),
        "remarks": remarks_on(
            lambda: trained, dataset.test, int(result.confusion.trace()), result.confusion.sum(1).tolist(), _ADVICE
        ),
    }
    columns = {
        "run": "run",
        "weights": "weights",
        "dataset": "data",
        "split": "test split",
        "images": things,
        "test_accuracy": "test accuracy",
    }
    write_json(with_data([row], dataset), json)
    plain_console().print(trained.input)
    show_table([row], columns)
    for line in [*(f"left out: {message}" for message in row["bad_images"]), *row["remarks"]]:
        plain_console().print(line, soft_wrap=True)


def _shuffled(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The frames of each clip in an order of its own, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    for batch in batches:
        if len(batch.targets):  # else none of them could be read
            order = torch.rand(batch.images.shape[:2], generator=generator).argsort(0)
            batch = batch._replace(images=batch.images.take_along_dim(order[..., None, None, None], 0))
        yield batch
