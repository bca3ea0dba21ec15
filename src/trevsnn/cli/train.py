"""`trevsnn train`."""

import os
import shlex
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from trevsnn.cli.output import JsonFile, check_json, plain_console, show_data, with_data, write_json
from trevsnn.cli.settings import dataset_name
from trevsnn.data import load_dataset
from trevsnn.training import Forecast, RunFolder, StoppedError, TrainConfig, forecast_run, train
from trevsnn.training.processes import is_first_process
from trevsnn.training.progress import format_time


def train_run(
    kind: str,
    /,
    *,
    dataset: str | None = None,
    output: Path | None = None,
    resume: Path | None = None,
    recipe: str | None = None,
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    json: JsonFile = None,
    settings: Annotated[TrainConfig, Parameter(name="*")] = TrainConfig(),  # noqa: B008 (frozen)
) -> None:
    """Train a network and write a run folder.

    With several GPUs or machines: torchrun --nproc-per-node GPUS -m trevsnn train ...

    Args:
        kind: Kind of data: digits, imagefolder (train/ and val/ of class folders, or class folders and
            --val-split), webdataset (tar shards, laid out likewise), cifar10, cifar100 or events (of an event camera).
        dataset: Which recordings, of events: digits (simulated), cifar10dvs, dvs128gesture, nmnist, or folder (.aedat,
            .aedat4, .npz, .npy or HDF5 files, laid out as for imagefolder).
        output: Run folder to write; runs/KIND by default.
        resume: Run folder to continue, with its own settings, after its last checkpoint.
        recipe: Name of a recipe (see `trevsnn recipes`) or a TOML file of settings, for example a run's config.toml;
            other options override it. By default the data set's own; for pictures finetune.
        overwrite: Replace a run that stands in the run folder.
        dry_run: Write nothing: build all, run two steps, and print the time and memory of the whole run.
        json: Also write the last epoch's metrics, or what a dry run found, to this file.
    """
    check_json(json)
    if resume is not None and (output is not None or overwrite):
        raise ValueError("--resume writes to the run that it continues; leave --output and --overwrite out")
    name = dataset_name(kind, dataset)
    data = load_dataset(name, settings.data, settings.val_split, settings.sensor_size)
    console = plain_console()
    if is_first_process():
        show_data(data)
    if dry_run:
        forecast = forecast_run(settings, data)
        if is_first_process():
            write_json(with_data([asdict(forecast)], data), json)
            console.print(describe_forecast(forecast, settings), soft_wrap=True)
        return
    run = RunFolder(resume or output or Path("runs") / name.replace("/", "-"))
    try:
        row = train(settings, data, run, resume=resume is not None, overwrite=overwrite, console=console)
    except (KeyboardInterrupt, StoppedError) as stop:
        world = os.environ.get("WORLD_SIZE")
        program = f"{_programs()}trevsnn" if world is None else "torchrun ... -m trevsnn"
        again = f"{program} train {kind} --resume {shlex.quote(str(run.path))}"
        stop.args = (f"continue with: {again}" if run.holds_run() else "",)
        raise
    if is_first_process():
        write_json(with_data([row], data), json)
        console.print(_what_next(run, data.split), soft_wrap=True)


def describe_forecast(forecast: Forecast, settings: TrainConfig) -> str:
    """What a dry run found, in lines."""
    loading, training = forecast.loading_images_per_second, forecast.training_images_per_second
    kind, peak = forecast.memory
    lines = [
        f"parameters      {forecast.parameters:,}",
        f"epoch           {forecast.steps_per_epoch:,} steps of {forecast.effective_batch:,} images",
        f"loading alone   {loading:,.0f} images/s",
        f"training alone  {training:,.0f} images/s",
        f"memory          {kind} {peak / 1e6:,.0f} MB",
        f"whole run       {format_time(forecast.seconds)} for {settings.epochs} epochs, "
        f"{format_time(forecast.test_seconds)} of each for the test images",
    ]
    if forecast.left_over:
        lines.append(f"note            {forecast.left_over}")
    if forecast.to_convert:
        lines.append(
            f"recordings      {forecast.to_convert:,} are to be converted to frames first, once; loading is faster then"
        )
    if forecast.loading_is_slower:
        lines.append(
            "warning: images are loaded slower than trained on; more --workers, smaller files or a faster disk help"
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
