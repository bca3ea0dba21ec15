"""`trevsnn eval`."""

from collections.abc import Iterator
from pathlib import Path

import torch

from trevsnn.choices import Device
from trevsnn.cli.found_data import with_data
from trevsnn.cli.image_source import ImageSource
from trevsnn.cli.open_run import load_trained, open_images
from trevsnn.cli.output import check_file, check_json, plain_console, say, show_table, write_json
from trevsnn.cli.remarks import remarks_on
from trevsnn.data.loading import Batch
from trevsnn.training import choose_device, evaluate

_ADVICE = "train it longer, with a smaller --batch-size or another --lr"


def evaluate_run(
    run: Path,
    /,
    *,
    source: ImageSource,
    shuffle_frames: bool,
    device: Device,
    confusion: Path | None,
    json: Path | None,
) -> None:
    """See `trevsnn.cli.commands.eval`."""
    check_json(json)
    check_file(confusion, "confusion file")
    trained = load_trained(run, choose_device(device))
    images = open_images(trained, source)
    dataset, batches = images.dataset, images.batches(images.dataset.test)
    if shuffle_frames:
        if not trained.model.config.frames:
            raise ValueError("shuffle_frames=True is for recordings; images have no frames")
        batches = _shuffled(batches)
    result = evaluate(trained.model, batches, images.bad)
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
        "bad_images": sorted(images.bad.known),
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
    say(*images.left_out, *row["remarks"])


def _shuffled(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The frames of each clip in an order of its own, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    for batch in batches:
        if len(batch.targets):  # else none of them could be read
            order = torch.rand(batch.images.shape[:2], generator=generator).argsort(0)
            batch = batch._replace(images=batch.images.take_along_dim(order[..., None, None, None], 0))
        yield batch
