"""`trevsnn eval`."""

from pathlib import Path

from trevsnn.cli.output import JsonFile, check_json, show_table, write_json
from trevsnn.cli.weights import load_trained
from trevsnn.data import default_workers, evaluation_batches, load_dataset
from trevsnn.training import RunFolder, TrainConfig, choose_device, evaluate
from trevsnn.training.config import Device, Whole


def evaluate_run(
    run: Path,
    /,
    *,
    data: Path | None = None,
    val_split: float | None = None,
    workers: Whole | None = None,
    device: Device = "auto",
    json: JsonFile = None,
) -> None:
    """Print the accuracy of a run on the test images of its data set.

    Args:
        run: Run folder, whose best weights are taken, or a weights file.
        data: Folder that holds the data set, or class folders to test on; by default what the run was trained on.
        val_split: Share of the images to test on, of a data set without val/; by default the run's.
        workers: Processes that read images; by default one per CPU core, at most 8.
        device: Where to compute; auto takes CUDA where there is a GPU.
        json: Also write the table to this file.
    """
    check_json(json)
    trained = load_trained(run, choose_device(device))
    if trained.info.dataset is None:
        raise ValueError(
            f"{str(trained.file)!r} does not say which dataset it was trained on; give a run of `trevsnn train`"
        )
    folder = RunFolder(trained.file.parent)
    if data is None and folder.holds_run():
        config = TrainConfig(**folder.read_config()[1])
        data, val_split = config.data, config.val_split if val_split is None else val_split
    dataset = load_dataset(trained.info.dataset, data, val_split)
    if trained.info.class_names not in (None, dataset.class_names):
        raise ValueError(
            f"data {str(data)!r} has other classes than {str(trained.file)!r} was trained on: "
            f"{len(dataset.class_names)}, {dataset.class_names[0]!r} the first"
        )
    workers = default_workers(dataset.in_memory) if workers is None else workers
    result = evaluate(trained.model, evaluation_batches(dataset.test, trained.preprocessing, workers=workers))
    row = {
        "run": str(run),
        "model": trained.info.model,
        "dataset": dataset.name,
        "images": result.images,
        "test_loss": result.loss,
        "test_accuracy": result.accuracy,
    }
    columns = {"run": "run", "model": "model", "dataset": "data", "images": "images", "test_accuracy": "test accuracy"}
    write_json([row], json)
    show_table([row], columns)
