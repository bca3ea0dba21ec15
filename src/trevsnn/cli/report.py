"""`trevsnn report`."""

from dataclasses import replace
from pathlib import Path

from trevsnn._util.files import write_text
from trevsnn.choices import Device
from trevsnn.cli.image_source import ImageSource
from trevsnn.cli.open_run import load_trained, open_images
from trevsnn.cli.output import check_file, plain_console, say
from trevsnn.cli.predict import in_words
from trevsnn.models.network import require_trevsnn
from trevsnn.report.findings import TrainedRun, find
from trevsnn.report.page import render
from trevsnn.training import RunFolder, TrainConfig, choose_device


def report(
    run: Path,
    /,
    *,
    source: ImageSource,
    output: Path | None,
    images: int | None,
    device: Device,
) -> None:
    """See `trevsnn.cli.commands.report`."""
    folder = RunFolder(run.parent if run.is_file() else run)
    output = output or folder.report
    _, settings = folder.read_config(unknown_ok=True)
    trained, history = load_trained(run, choose_device(device)), folder.read_metrics()
    if not history:
        raise ValueError(f"run {str(run)!r} has no {folder.metrics.name}, the metrics of its epochs; train it anew")
    check_file(output, "output")
    model = require_trevsnn(trained.model, "report")
    opened, console = open_images(trained, source), plain_console()
    what = TrainedRun(
        name=folder.path.resolve().name,
        weights=trained.file.name,
        info=trained.info,
        model=model,
        preprocessing=trained.preprocessing,
        dataset=replace(opened.dataset, class_names=tuple(map(in_words, opened.dataset.class_names))),
        config=TrainConfig(**settings),
        history=history,
    )
    findings = find(what, images=images, workers=opened.workers, bad=opened.bad, console=console)
    write_text(output, render(what, findings))
    things = "recordings" if trained.model.config.frames else "images"
    accuracy, tested = findings.evaluation.accuracy, findings.evaluation.images
    say(f"{output}: test accuracy {accuracy:.2%} of {tested:,} {things}, {trained.input}")
    say(*(f"left out: {name}" for name in findings.bad), *(f"remark: {line}" for line in findings.remarks))
