"""`trevsnn train`."""

from dataclasses import fields
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from trevsnn.cli.output import JsonFile, check_json, write_json
from trevsnn.data import load_dataset
from trevsnn.training import RunFolder, TrainConfig, train

_FREE_ON_RESUME = {"device"}


def train_run(
    data: str,
    /,
    *,
    output: Path | None = None,
    resume: Path | None = None,
    config: Path | None = None,
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    json: JsonFile = None,
    settings: Annotated[TrainConfig, Parameter(name="*")] = TrainConfig(),  # noqa: B008 (frozen)
) -> None:
    """Train a network and write a run folder.

    Args:
        data: Data set: digits.
        output: Run folder to write; runs/DATA by default.
        resume: Run folder to continue, with its own settings, after its last whole epoch.
        config: TOML file of settings, for example a run's config.toml; other options override it.
        overwrite: Replace a run that stands in the run folder.
        json: Also write the last epoch's metrics to this file.
    """
    check_json(json)
    dataset = load_dataset(data)
    if resume is not None:
        if output is not None or overwrite:
            raise ValueError("--resume writes to the run that it continues; leave --output and --overwrite out")
        _check_unchanged(settings, RunFolder(resume))
    run = RunFolder(resume or output or Path("runs") / data)
    console = Console()
    try:
        row = train(settings, dataset, run, resume=resume is not None, overwrite=overwrite, console=console)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"continue with: trevsnn train {data} --resume {run.path}" if run.holds_run() else ""
        ) from None
    write_json([row], json)
    _say_what_next(console, run, row["test_accuracy"])


def _check_unchanged(settings: TrainConfig, run: RunFolder) -> None:
    """Refuse settings other than those of the run to be continued: the result would be another run's."""
    _, values = run.read_config()
    before = TrainConfig(**values)
    for field in fields(TrainConfig):
        old, new = getattr(before, field.name), getattr(settings, field.name)
        if old != new and field.name not in _FREE_ON_RESUME:
            option = field.name.replace("_", "-")
            raise ValueError(
                f"--resume continues {str(run.path)!r} with its own settings, {field.name}={old!r} among them; leave "
                f"--{option} out, or start a new run with --config {run.config} --{option} {new} --output DIR"
            )


def _say_what_next(console: Console, run: RunFolder, accuracy: float) -> None:
    sample = min(run.samples.glob("*.png"), default=Path("IMAGE"))
    lines = [
        f"test accuracy {accuracy:.2%}",
        f"run folder    {run.path}",
        "next:",
        f"  trevsnn eval {run.path}",
        f"  trevsnn predict {run.path} {sample}",
        f"  tensorboard --logdir {run.events}",
    ]
    console.print("\n".join(lines), highlight=False, soft_wrap=True)
