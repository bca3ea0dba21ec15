"""`trevsnn train`."""

import os
import shlex
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from trevsnn.cli.found_data import with_data
from trevsnn.cli.open_run import load_trained
from trevsnn.cli.output import check_json, plain_console, say, write_json
from trevsnn.cli.remarks import remarks_on
from trevsnn.cli.settings import dataset_name, origins
from trevsnn.data import FramePreprocessing, LabelledData, load_dataset
from trevsnn.training import (
    Forecast,
    RunFolder,
    StoppedError,
    TrainConfig,
    choose_device,
    forecast_run,
    train,
)
from trevsnn.training.processes import is_first_process
from trevsnn.training.progress import format_time
from trevsnn.training.yielding import fit_to_data


def train_run(
    kind: str,
    /,
    *,
    dataset: str | None,
    output: Path | None,
    resume: Path | None,
    recipe: str | None,
    overwrite: bool,
    dry_run: bool,
    json: Path | None,
    settings: TrainConfig,
) -> None:
    """See `trevsnn.cli.commands.train`."""
    check_json(json)
    if resume is not None and (output is not None or overwrite):
        raise ValueError("--resume writes to the run that it continues; leave --output and --overwrite out")
    name = dataset_name(kind, dataset)
    if resume is not None and settings.data is not None and not settings.data.exists():
        raise ValueError(f"data {str(settings.data)!r}, where the run found them, are not there; give --data DIR")
    data = load_dataset(name, settings.data, settings.val_split, settings.sensor_size)
    console = plain_console()
    run = RunFolder(resume or output or Path("runs") / name.replace("/", "-"))
    sources = origins.get()
    if resume is None:
        settings, sources = fit_to_data(settings, data, sources, int(os.environ.get("WORLD_SIZE", 1)))
    if dry_run:
        goes_on = run if resume is not None and run.saved_states() else None
        forecast = forecast_run(settings, data, resume=goes_on, console=console, origins=sources)
        if is_first_process():
            write_json(with_data([asdict(forecast)], data), json)
            things = "recordings" if isinstance(data.preprocessing, FramePreprocessing) else "images"
            say(describe_forecast(forecast, settings, things))
        return
    try:
        row = train(
            settings, data, run, resume=resume is not None, overwrite=overwrite, console=console, origins=sources
        )
    except (KeyboardInterrupt, StoppedError) as stop:
        world = os.environ.get("WORLD_SIZE")
        program = f"{_programs()}trevsnn" if world is None else "torchrun ... -m trevsnn"
        again = f"{program} train {kind} --resume {shlex.quote(str(run.path))}"
        stop.args = (f"continue with: {again}" if run.holds_run() else "",)
        raise
    if is_first_process():
        write_json(with_data([row], data), json)
        say(_what_next(run, data.split), *_remarks(run, settings, data))


def describe_forecast(forecast: Forecast, settings: TrainConfig, things: str = "images") -> str:
    """What a dry run found, in lines; `things` are images or recordings."""
    loading = forecast.loading_images_per_second
    training = forecast.training_images_per_second
    kind, peak = forecast.memory
    lines = [
        f"parameters      {forecast.parameters:,}",
        f"epoch           {forecast.steps_per_epoch:,} steps of {forecast.effective_batch:,} {things}",
        f"loading alone   {loading:,.0f} {things}/s",
        f"training alone  {training:,.0f} {things}/s",
        f"memory          {kind} {peak / 1e6:,.0f} MB",
        f"whole run       {format_time(forecast.seconds)} for {settings.epochs} epochs, "
        f"{format_time(forecast.test_seconds)} of each for the test {things}",
    ]
    if forecast.to_convert:
        lines.append(
            f"recordings      {forecast.to_convert:,} are to be converted to frames first, once; loading is faster then"
        )
    if forecast.loading_is_slower:
        lines.append(
            f"warning: {things} are loaded slower than trained on; more --workers, smaller files or a faster disk help"
        )
    return "\n".join(lines)


def _programs() -> str:
    """The folder of this program, with a slash at its end, where it has to be named to be called again."""
    called = Path(sys.argv[0])
    return "" if called.name != "trevsnn" or shutil.which("trevsnn") else shlex.quote(f"{called.parent}/")


def _what_next(run: RunFolder, split: str) -> str:
    programs, history = _programs(), run.read_metrics()
    best = max(history, key=lambda row: row["test_accuracy"])
    folder, events = shlex.quote(str(run.path)), shlex.quote(str(run.events))
    lines = [
        f"test accuracy {history[-1]['test_accuracy']:.2%}" + (f" on {split}" if split else ""),
        f"best epoch    {best['epoch']}, {best['test_accuracy']:.2%}: {run.best.name}",
        f"run folder    {run.path}",
        "next:",
        f"  {programs}trevsnn report {folder}",
        f"  {programs}trevsnn eval {folder}",
        f"  {programs}tensorboard --logdir {events}",
    ]
    if samples := sorted(run.samples.glob("*")):
        lines.insert(-1, f"  {programs}trevsnn predict {folder} {shlex.quote(str(samples[0]))}")
    return "\n".join(lines)


def _remarks(run: RunFolder, settings: TrainConfig, data: LabelledData) -> list[str]:
    """What there is to say of a run that is over."""
    per_class = np.bincount(data.test.labels, minlength=len(data.class_names)).tolist()
    batch = settings.effective_batch or settings.batch_size * int(os.environ.get("WORLD_SIZE", 1))
    steps = settings.epochs * (len(data.train or ()) // batch)
    advice = (
        f"it took {steps:,} optimiser steps: try more --epochs (now {settings.epochs}), a smaller --batch-size "
        f"(now {settings.batch_size}) or another --lr (now {settings.lr:g})"
    )
    correct = round(run.read_metrics()[-1]["test_accuracy"] * sum(per_class))
    device = choose_device(settings.device)
    return remarks_on(lambda: load_trained(run.path, device), data.test, correct, per_class, advice)
