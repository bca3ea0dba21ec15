"""A run in progress: what it has come to, how that is written to its folder and read back."""

import shlex
import textwrap
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from trevsnn._util.checks import is_whole, require
from trevsnn._util.suggest import in_a_line, shortened
from trevsnn.data import LabelledData
from trevsnn.models import save_weights, weights_info
from trevsnn.training.config import SETTINGS, TrainConfig, dump_config, parse_config
from trevsnn.training.learner import Learner
from trevsnn.training.run_folder import RunFolder
from trevsnn.training.run_record import check_row
from trevsnn.training.yielding import fitting_batch

FREE_TO_CHANGE = {
    "cache",
    "checkpoint_minutes",
    "compile",
    "data",
    "device",
    "keep_checkpoints",
    "skip_bad_images",
    "weights",
    "workers",
}
"""Settings that a continued run may have otherwise: they do not decide how it comes out, rounding aside."""
_MOST_PROCESSES = 10_000
OTHER_BATCHES = {"batch_size", "effective_batch", "memory"}
"""Settings that another machine may need: what counts is the images per step, and `memory` changes no gradient."""

SavedState = tuple[Path, dict[str, Any]]
"""A training state and the file that it is from."""


@dataclass
class EpochSoFar:
    """What the metrics of the epoch in progress are made of."""

    lr: float
    """Learning rate of its first step."""
    steps: int = 0
    loss: float = 0.0
    """Summed over the steps."""
    seconds: float = 0.0


class RunState:
    """A run in progress.

    Args:
        learner: what is trained.
        dataset: on what.
        folder: where it is written to.
    """

    def __init__(self, learner: Learner, dataset: LabelledData, folder: RunFolder):
        self.learner = learner
        self.dataset = dataset
        self.folder = folder
        self.history: list[dict[str, Any]] = []
        self.epoch = EpochSoFar(learner.lr)
        self.confusion: Tensor | None = None

    def end_epoch(self, row: dict[str, Any], confusion: Tensor) -> None:
        """Take the metrics and the confusion matrix of an epoch down, and begin the next one."""
        self.history.append(row)
        self.confusion = confusion
        self.epoch = EpochSoFar(self.learner.lr)

    def save(self) -> None:
        """Write a checkpoint.

        Raises:
            OSError: when it cannot be written; the one before stays.
        """
        learner = self.learner
        state = {
            "config": dump_config(self.dataset.name, learner.config),
            "class_names": list(self.dataset.class_names),
            "effective_batch": learner.effective_batch,
            "processes": learner.processes.world,
            "images": len(self.dataset.train or ()),
            "learner": learner.state_dict(),
            "history": self.history,
            "epoch": asdict(self.epoch),
        }
        self.folder.save_state(learner.steps, state, keep=learner.config.keep_checkpoints)

    def save_epoch(self) -> None:
        """Write all that belongs to the epochs so far: weights, checkpoint and metrics.

        Raises:
            OSError: when one of them cannot be written; an old one stays.
        """
        self._write_weights()
        self.save()
        self.folder.write_metrics(self.history)

    def draw(self) -> None:
        """Draw the confusion matrix of the last epoch."""
        if self.confusion is not None:
            from trevsnn.plots.confusion import confusion_figure  # matplotlib and scikit-learn are slow to import
            from trevsnn.plots.style import save_png

            save_png(confusion_figure(self.confusion, self.dataset.class_names), self.folder.confusion)

    def restore(self, saved: SavedState) -> list[str]:
        """Bring everything to where the run stopped; returns the names of newer checkpoints that cannot be read.

        Raises:
            ValueError: when the run cannot be continued with these settings or this data.
        """
        path, state = saved
        run = shlex.quote(str(self.folder.path))
        try:
            _, before = _settings(state["config"], path)
            # older runs leave the model to their data
            self._check_unchanged(TrainConfig(**{"model": self.dataset.model, **before}))
            names, now = tuple(state["class_names"]), self.dataset.class_names
            if names != now:
                raise ValueError(f"{_otherwise('class_names', names, now)}{_differences(names, now)}")
            if state["effective_batch"] != self.learner.effective_batch:
                raise ValueError(_otherwise("effective_batch", state["effective_batch"], self.learner.effective_batch))
            if state["images"] != (images := len(self.dataset.train or ())):
                raise ValueError(
                    f"{_otherwise('training images', state['images'], images)}; bring them back, or start a new run "
                    f"from its weights: --weights {run}"
                )
            self.learner.load_state_dict(state["learner"])
            self.history = list(state["history"])
            self.epoch = EpochSoFar(**state["epoch"])
            _check_progress(self.history, self.epoch)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{str(self.folder.path)!r} cannot be continued: {in_a_line(error)}") from error
        return [other.name for other in self.folder.saved_states() if other > path]

    def _check_unchanged(self, before: TrainConfig) -> None:
        """Refuse other settings than those of the run: the result would be another run's."""
        if change := describe_change(before, self.learner.config, FREE_TO_CHANGE | OTHER_BATCHES):
            raise ValueError(
                f"{change}; leave that, or start a new run with "
                f"--recipe {shlex.quote(str(self.folder.config))} --output DIR"
            )

    def _write_weights(self) -> None:
        """Write the weights of the last epoch, and once more if they are the best so far."""
        learner, dataset = self.learner, self.dataset
        accuracies = [row["test_accuracy"] for row in self.history]
        note = f"epoch {len(self.history)} of {learner.config.epochs}"
        info = weights_info(
            learner.model_name,
            learner.trained.config,
            dataset=dataset.name,
            class_names=dataset.class_names,
            preprocessing=asdict(learner.preprocessing),
            note=note,
        )
        save_weights(learner.trained, self.folder.weights, info)
        if accuracies and accuracies[-1] > max(accuracies[:-1], default=-1.0):
            best = f"{note}, the best so far by the accuracy on the test images, {accuracies[-1]:.2%}"
            save_weights(learner.trained, self.folder.best, replace(info, note=best))


def _settings(text: object, path: Path) -> tuple[str | None, dict[str, Any]]:
    """Of a saved state, in a file."""
    if not isinstance(text, str):
        raise TypeError(f"config={text!r} must be a text")
    return parse_config(text, str(path))


def _check_progress(history: Sequence[Any], epoch: EpochSoFar) -> None:
    """Refuse what training would stumble over later.

    Raises:
        ValueError: naming it.
    """
    for row in history:
        check_row(row)
    for name, value in asdict(epoch).items():
        right = is_whole(value) and value >= 0 if name == "steps" else isinstance(value, (int, float))
        require(epoch, name, right, "a number")


def describe_change(before: TrainConfig, now: TrainConfig, free: Collection[str] = FREE_TO_CHANGE) -> str | None:
    """The first setting that a run was started with otherwise, in words; None when all but the free ones are equal."""
    old, new = before.by_name(), now.by_name()
    for name in SETTINGS:
        if old.get(name) != new.get(name) and name not in free:
            return f"it was started with {name}={old.get(name)!r}, not {new.get(name)!r}"
    return None


def with_same_steps(config: TrainConfig, saved: SavedState, world: int) -> tuple[TrainConfig, list[str]]:
    """Settings under which so many processes take the steps of a run that others began, and what is to be said of it.

    A step stays of as many images as before. Where they cannot be shared out in the batches wanted, those are smaller.

    Args:
        config: of the run, with what was asked for.
        saved: where it stopped.
        world: processes that go on.

    Raises:
        ValueError: when so many processes cannot share a step, or the state says nothing of its steps.
    """
    path, state = saved
    try:
        effective, (_, before) = state["effective_batch"], _settings(state["config"], path)
        world_before, batch_before = state.get("processes", world), before["batch_size"]
        for name, value in (("effective_batch", effective), ("processes", world_before)):
            if not (is_whole(value) and 1 <= value < 2**63):
                raise ValueError(f"{name}={value!r} must be an integer from 1")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{str(path)!r} is not the state of a run: {error}") from error
    if config.effective_batch is None:
        config = replace(config, effective_batch=effective)
    if config.effective_batch != effective:
        return config, []  # which is refused later
    batch = fitting_batch(config.batch_size, effective, world)
    if batch is None:
        numbers = [n for n in range(1, min(effective, _MOST_PROCESSES) + 1) if effective % n == 0]
        raise ValueError(
            f"a step of {effective} images, as the run has, cannot be shared by {world} processes; start "
            f"{', '.join(map(str, numbers[:8]))}{' or more' if len(numbers) > 8 else ''} of them"
        )
    steps = f"steps of {effective} images as before"
    notes = []
    if batch != batch_before:
        notes.append(
            f"{steps}, in batches of {batch} in place of {batch_before}: BatchNorm and dropout see other batches, so "
            "the weights will not be the same bit for bit"
        )
    elif world != world_before:
        notes.append(
            f"{steps}, by {world} in place of {world_before} processes: the same but for rounding and the running "
            "statistics of BatchNorm"
        )
    return replace(config, batch_size=batch), notes


def _otherwise(name: str, before: Any, now: Any) -> str:
    before, now = (textwrap.shorten(str(value), 80, placeholder=" ...") for value in (before, now))
    return f"it was started with {name}={before}, not {now}"


def _differences(before: Sequence[str], now: Sequence[str]) -> str:
    """Which classes came and went."""
    new, gone = ([name for name in left if name not in set(right)] for left, right in ((now, before), (before, now)))
    if not new and not gone:
        return ": the order differs"
    return "".join(f"; {what}: {shortened(names, 5)}" for what, names in (("new", new), ("gone", gone)) if names)
