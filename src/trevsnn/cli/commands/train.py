"""`trevsnn train`: what it takes."""

from pathlib import Path
from typing import Annotated

from trevsnn.cli.commands.light import light
from trevsnn.cli.help import training_app
from trevsnn.cli.parameters import FLAT, JsonFile, Switch
from trevsnn.cli.settings import TrainOptions, settings_from_file


@light
def train_run(
    kind: str,
    /,
    *,
    dataset: str | None = None,
    output: Path | None = None,
    resume: Path | None = None,
    recipe: str | None = None,
    overwrite: Switch = False,
    dry_run: Switch = False,
    json: JsonFile = None,
    settings: Annotated[TrainOptions, FLAT] = TrainOptions(),  # noqa: B008 (frozen)
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


app = training_app("train", train_run, settings_from_file)
