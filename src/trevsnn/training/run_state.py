"""A run in progress: what it has come to, how that is written to its folder and read back."""

import shlex
import textwrap
from collections.abc import Collection
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from torch import Tensor

from trevsnn.data import LabelledData
from trevsnn.models import save_weights, weights_info
from trevsnn.training.config import TrainConfig, dump_config, parse_config
from trevsnn.training.confusion_plot import plot_confusion
from trevsnn.training.learner import Learner
from trevsnn.training.run_folder import RunFolder

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
        self.learner, self.dataset, self.folder = learner, dataset, folder
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
            "images": len(self.dataset.train or ()),
            "learner": learner.state_dict(),
            "history": self.history,
            "epoch": asdict(self.epoch),
        }
        self.folder.save_state(learner.steps, state, keep=learner.config.keep_checkpoints)

    def save_epoch(self) -> None:
        """Write all that belongs to the epochs so far: weights, checkpoint and metrics; after the last one the
        confusion matrix too.

        Raises:
            OSError: when one of them cannot be written; an old one stays.
        """
        self._write_weights()
        self.save()
        self.folder.write_metrics(self.history)
        if self.confusion is not None and len(self.history) == self.learner.config.epochs:
            plot_confusion(self.confusion, self.dataset.class_names, self.folder.confusion)

    def restore(self) -> list[str]:
        """Bring everything to where the run stopped; returns the names of newer checkpoints that cannot be read.

        Raises:
            ValueError: when the run cannot be continued with these settings or this data.
        """
        path, state = self.folder.load_state()
        try:
            _, before = parse_config(state["config"], str(self.folder.config))
            self._check_unchanged(TrainConfig(**before))
            for name, old, new in (
                ("class_names", tuple(state["class_names"]), self.dataset.class_names),
                ("effective_batch", state["effective_batch"], self.learner.effective_batch),
                ("training images", state["images"], len(self.dataset.train or ())),
            ):
                if old != new:
                    old, new = (textwrap.shorten(str(value), 80, placeholder=" ...") for value in (old, new))
                    raise ValueError(f"it was started with {name}={old}, not {new}")
            self.learner.load_state_dict(state["learner"])
            self.history, self.epoch = list(state["history"]), EpochSoFar(**state["epoch"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{str(self.folder.path)!r} cannot be continued: {error}") from error
        return [other.name for other in self.folder.saved_states() if other > path]

    def _check_unchanged(self, before: TrainConfig) -> None:
        """Refuse other settings than those of the run: the result would be another run's."""
        if change := describe_change(before, self.learner.config):
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


def describe_change(before: TrainConfig, now: TrainConfig, free: Collection[str] = FREE_TO_CHANGE) -> str | None:
    """The first setting that a run was started with otherwise, in words; None when all but the free ones are equal."""
    for setting in fields(TrainConfig):
        old, new = getattr(before, setting.name), getattr(now, setting.name)
        if old != new and setting.name not in free:
            return f"it was started with {setting.name}={old!r}, not {new!r}"
    return None
