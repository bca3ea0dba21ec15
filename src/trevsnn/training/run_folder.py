"""The folder of a run.

    config.toml           the configuration, readable and re-runnable
    start.txt             the first lines of the run, and with --weights what became of every tensor
    data.json             how many samples of each class there were, and everything that was left out
    checkpoints/          everything that an exact resume needs, after some steps, the last few times
    model.safetensors     the weights after the last whole epoch, with the network's name and options in the metadata
    best.safetensors      the weights after the epoch of the highest accuracy on the test images
    metrics.jsonl         one JSON line per epoch
    confusion.png         after the last epoch: how many test images of each class were taken for which
    tensorboard/          the same as TensorBoard events
    samples/              a few test images, or recordings, to try `trevsnn predict` on
    bad_images.txt        images that could not be read, where these are skipped
    report.html           what `trevsnn report` wrote

At the end of an epoch the weights are written before the checkpoint: a run that is stopped in between tests that epoch
once more, and writes the same. Every file is replaced in one step.
"""

import json
import os
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from trevsnn._util.files import atomic_path, write_text
from trevsnn.data import BadImageError, LabelledData, list_data
from trevsnn.data.events import Events
from trevsnn.data.events.cache import CachedFrames
from trevsnn.models.checkpoint import read_checkpoint
from trevsnn.models.weights import WEIGHTS_FILE, LoadReport, describe_tensors
from trevsnn.training.config import TrainConfig, dump_config
from trevsnn.training.run_record import RunRecord

STATE_VERSION = 1
_LONGEST_NAME = 200
"""Bytes of a sample's name, without its ending: file systems take 255."""
_FULL = 2**16
"""Bytes that are left on a disk that is full."""
SAMPLES = 8

_locked: set[int] = set()


def _release_in_child() -> None:
    """Processes that read images must not hold the lock of a run that was killed."""
    while _locked:
        os.close(_locked.pop())


if os.name == "posix":
    os.register_at_fork(after_in_child=_release_in_child)


class RunFolder(RunRecord):
    """Paths of a run and what is read from and written to them. Nothing is created before `create`."""

    def __init__(self, path: str | Path):
        super().__init__(path)
        self.start = self.path / "start.txt"
        self.data = self.path / "data.json"
        self.checkpoints = self.path / "checkpoints"
        self.weights = self.path / WEIGHTS_FILE
        self.best = self.path / "best.safetensors"
        self.confusion = self.path / "confusion.png"
        self.events = self.path / "tensorboard"
        self.samples = self.path / "samples"
        self.bad_images = self.path / "bad_images.txt"
        self.report = self.path / "report.html"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training into this folder, which is made where there is none.

        Raises:
            ValueError: when another process does so already.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if os.name != "posix":
            yield
            return
        import fcntl

        folder = os.open(self.path, os.O_RDONLY)
        _locked.add(folder)
        try:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ValueError(
                    f"run folder {str(self.path)!r} is in use by another training; wait, or stop it"
                ) from error
            except OSError:
                pass  # a file system without locks
            yield
        finally:
            _locked.discard(folder)
            os.close(folder)

    def _parts(self) -> list[Path]:
        return [
            self.config,
            self.start,
            self.data,
            self.checkpoints,
            self.weights,
            self.best,
            self.metrics,
            self.confusion,
            self.events,
            self.samples,
            self.bad_images,
            self.report,
        ]

    def check_free(self, overwrite: bool) -> None:
        """Make sure that a new run may start here.

        Raises:
            ValueError: when the path is a file, or holds a run and `overwrite` is not set.
        """
        for part in (self.path, *self.path.parents):
            if part.exists():
                if not part.is_dir():
                    raise ValueError(f"output {str(self.path)!r}: {str(part)!r} is a file, not a folder")
                break
        if overwrite:
            return
        if self.holds_run():
            raise ValueError(
                f"output {str(self.path)!r} already holds a run; choose another --output, continue it with "
                f"--resume {shlex.quote(str(self.path))} or replace it with --overwrite"
            )
        for part in self._parts():
            if part.exists():
                raise ValueError(
                    f"output {str(self.path)!r} holds {part.name!r}, which a run would replace; choose another "
                    "--output, or --overwrite"
                )

    def create(self, config: TrainConfig, dataset: LabelledData) -> None:
        """Start a run in the folder: remove what another run left, write configuration and what was found."""
        for part in self._parts():
            if part.is_dir():
                shutil.rmtree(part)
            else:
                part.unlink(missing_ok=True)
        write_text(self.config, dump_config(dataset.name, config))
        self.write_data(dataset)
        self.checkpoints.mkdir()

    def write_samples(self, dataset: LabelledData) -> None:
        """Write a few test images or recordings."""
        self.samples.mkdir()
        test = dataset.test.samples if isinstance(dataset.test, CachedFrames) else dataset.test
        # each class's first image, small ones as large squares: enlarging by a whole factor loses nothing
        for label in range(min(SAMPLES, len(dataset.class_names))):
            for index in (test.labels == label).nonzero()[0][:1]:
                with suppress(BadImageError):
                    self._write_sample(dataset.class_names[label], test.open(int(index), 3))

    def write_start(self, heading: str, report: LoadReport | None) -> None:
        """Write the first lines of the run, and what became of every tensor of a weights file."""
        tensors = "" if report is None else f"\n{describe_tensors(report)}\n"
        write_text(self.start, f"{heading}\n{tensors}")

    def write_data(self, dataset: LabelledData) -> None:
        """Write what was found and what was left out."""
        write_text(self.data, json.dumps(list_data(dataset), indent=2) + "\n")

    def _write_sample(self, class_name: str, sample: Image.Image | Events) -> None:
        name = class_name.replace("/", "_").encode(errors="replace")[:_LONGEST_NAME].decode(errors="ignore")
        if isinstance(sample, Events):
            with atomic_path(self.samples / f"{name}.npz") as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, **asdict(sample))
            return
        factor = max(1, 128 // max(sample.size))
        enlarged = sample.resize((sample.width * factor, sample.height * factor), Image.Resampling.NEAREST)
        with atomic_path(self.samples / f"{name}.png") as temporary:
            enlarged.save(temporary, format="PNG")

    def saved_states(self) -> list[Path]:
        """The files of the saved states, the newest first."""
        return sorted(self.checkpoints.glob("step-*.pt"), reverse=True)

    def save_state(self, steps: int, state: dict[str, Any], keep: int) -> None:
        """Write the training state after some steps, then remove all but the newest few.

        Raises:
            OSError: when it cannot be written; the old ones stay.
        """
        path = self.checkpoints / f"step-{steps:010d}.pt"
        with atomic_path(path) as temporary:
            try:
                torch.save({"version": STATE_VERSION, **state}, temporary)
            except (RuntimeError, OSError) as error:  # PyTorch's for a full disk is a RuntimeError
                full = shutil.disk_usage(path.parent).free < _FULL
                reason = "the disk is full" if full else str(error).splitlines()[0]
                raise OSError(f"{str(path)!r} cannot be written, the one before stays: {reason}") from error
        for old in self.saved_states()[keep:]:
            old.unlink(missing_ok=True)

    def load_state(self) -> tuple[Path, dict[str, Any]]:
        """The newest training state that can be read, and its file; on the CPU.

        Raises:
            ValueError: when none can be read.
        """
        errors = [ValueError(f"{str(self.checkpoints)!r} is empty, so the run cannot be continued; start a new one")]
        for path in self.saved_states():
            try:
                state = read_checkpoint(path)
                if not isinstance(state, dict) or state.get("version") != STATE_VERSION:
                    raise ValueError(f"{str(path)!r} is not a training state of this version of trevsnn")
                return path, state
            except ValueError as failure:
                errors.append(failure)
        raise errors[1] if len(errors) > 1 else errors[0]

    def tidy(self, unreadable: Sequence[str] = ()) -> None:
        """Remove what interrupted writes left, and set checkpoints aside that cannot be read."""
        for path in self.path.rglob(".*.tmp"):
            path.unlink()
        for name in unreadable:
            (self.checkpoints / name).rename(self.checkpoints / f"{name}.damaged")

    def write_metrics(self, history: Sequence[dict[str, Any]]) -> None:
        """Write one JSON line per epoch."""
        write_text(self.metrics, "".join(json.dumps(row) + "\n" for row in history))
