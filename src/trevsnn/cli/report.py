"""`trevsnn report`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from trevsnn._util.files import write_text
from trevsnn.cli.open_run import load_data, load_trained
from trevsnn.cli.output import check_file, plain_console
from trevsnn.cli.predict import in_words
from trevsnn.data import BadImages, default_workers
from trevsnn.models.network import require_trevsnn
from trevsnn.training import RunFolder, TrainConfig, choose_device
from trevsnn.training.config import Device, Whole


def report(
    run: Path,
    /,
    *,
    output: Path | None = None,
    data: Path | None = None,
    val_split: float | None = None,
    images: Whole | None = None,
    skip_bad_images: Annotated[bool, Parameter(negative=())] = False,
    workers: Whole | None = None,
    device: Device = "auto",
) -> None:
    """Write a page about a run: learning curves, test, energy, membrane potentials, memory, spike maps, settings.

    The page is one HTML file that needs nothing but itself, on a screen or on paper.

    Args:
        run: Run folder, or a weights file in one, its best.safetensors for example.
        output: HTML file to write; by default report.html in the run folder.
        data: Folder that holds the data set, or class folders to test on; by default what the run was trained on.
        val_split: Share of the images to test on, of a data set without val/, 1 for all; by default the run's.
        images: How many test images to run, evenly spread over all of them; by default all. Energy is a mean of 256 at
            most.
        skip_bad_images: Leave out images that cannot be read; otherwise the first stops.
        workers: Processes that read images; by default one per CPU core, at most 8.
        device: Where to compute; auto takes CUDA where there is a GPU.
    """
    folder = RunFolder(run.parent if run.is_file() else run)
    output = output or folder.report
    _, settings = folder.read_config(unknown_ok=True)
    trained, history = load_trained(run, choose_device(device)), folder.read_metrics()
    if not history:
        raise ValueError(f"run {str(run)!r} has no {folder.metrics.name}, the metrics of its epochs; train it anew")
    check_file(output, "output")
    model = require_trevsnn(trained.model, "report")
    dataset = load_data(trained, data, val_split)
    workers = default_workers(dataset.in_memory) if workers is None else workers
    bad, console = BadImages(skip_bad_images), plain_console()
    from trevsnn.report.findings import TrainedRun, measure
    from trevsnn.report.page import render  # matplotlib is slow to import

    what = TrainedRun(
        name=folder.path.resolve().name,
        weights=trained.file.name,
        info=trained.info,
        model=model,
        preprocessing=trained.preprocessing,
        dataset=replace(dataset, class_names=tuple(map(in_words, dataset.class_names))),
        config=TrainConfig(**settings),
        history=history,
    )
    findings = measure(what, images=images, workers=workers, bad=bad, console=console)
    write_text(output, render(what, findings))
    things = "recordings" if trained.model.config.frames else "images"
    accuracy, tested = findings.evaluation.accuracy, findings.evaluation.images
    console.print(f"{output}: test accuracy {accuracy:.2%} of {tested:,} {things}, {trained.input}", soft_wrap=True)
    for line in [*(f"left out: {name}" for name in findings.bad), *(f"remark: {line}" for line in findings.remarks)]:
        console.print(line, soft_wrap=True)
