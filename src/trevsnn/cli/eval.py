"""`trevsnn eval`."""

from pathlib import Path

from trevsnn.cli.output import JsonFile, check_json, show_table, write_json
from trevsnn.cli.weights import load_run
from trevsnn.training import choose_device, evaluate
from trevsnn.training.config import Device


def evaluate_run(run: Path, /, *, device: Device = "auto", json: JsonFile = None) -> None:
    """Print the accuracy of a run on the test images of its data set.

    Args:
        run: Run folder, or a weights file from one.
        device: Where to compute; auto takes CUDA where there is a GPU.
        json: Also write the table to this file.
    """
    check_json(json)
    model, info, dataset = load_run(run, choose_device(device))
    result = evaluate(model, dataset, dataset.test)
    row = {
        "run": str(run),
        "model": info.model,
        "dataset": dataset.name,
        "images": result.images,
        "test_loss": result.loss,
        "test_accuracy": result.accuracy,
    }
    columns = {"run": "run", "model": "model", "dataset": "data", "images": "images", "test_accuracy": "test accuracy"}
    write_json([row], json)
    show_table([row], columns)
