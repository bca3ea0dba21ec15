"""`trevsnn train`."""

import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from trevsnn.cli.output import JsonFile, check_json, plain_console, write_json
from trevsnn.data import load_dataset
from trevsnn.training import RunFolder, TrainConfig, train


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
    if resume is not None and (output is not None or overwrite):
        raise ValueError("--resume writes to the run that it continues; leave --output and --overwrite out")
    run = RunFolder(resume or output or Path("runs") / data)
    console = plain_console()
    try:
        row = train(settings, dataset, run, resume=resume is not None, overwrite=overwrite, console=console)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"continue with: {_programs()}trevsnn train {data} --resume {shlex.quote(str(run.path))}"
            if run.holds_run()
            else ""
        ) from None
    write_json([row], json)
    console.print(_what_next(run, row["test_accuracy"]), soft_wrap=True)


def _programs() -> str:
    """The folder of this program, with a slash at its end, where it has to be named to be called again."""
    called = Path(sys.argv[0])
    return "" if called.name != "trevsnn" or shutil.which("trevsnn") else shlex.quote(f"{called.parent}/")


def _what_next(run: RunFolder, accuracy: float) -> str:
    programs = _programs()
    folder, events = shlex.quote(str(run.path)), shlex.quote(str(run.events))
    sample = shlex.quote(str(min(run.samples.glob("*.png"), default="IMAGE")))
    return "\n".join(
        [
            f"test accuracy {accuracy:.2%}",
            f"run folder    {run.path}",
            "next:",
            f"  {programs}trevsnn eval {folder}",
            f"  {programs}trevsnn predict {folder} {sample}",
            f"  {programs}tensorboard --logdir {events}",
        ]
    )
