"""A training run from its configuration to its folder, and its exact continuation.

An epoch depends only on the state after the one before and on (seed, epoch): order, augmentation and dropout
are seeded anew at its start. So a run that is cut off and continued ends with the same weights, bit for bit
on one machine's CPU, as one that never stopped.
"""

import math
import shlex
import time
from dataclasses import asdict, fields
from typing import Any

import torch
from rich.console import Console

from trevsnn.data import ImageDataset, seeded_generator, training_batches
from trevsnn.training.config import TrainConfig
from trevsnn.training.evaluation import evaluate
from trevsnn.training.learner import Learner, NonFiniteError
from trevsnn.training.progress import ProgressReporter, peak_memory
from trevsnn.training.run_folder import RunFolder
from trevsnn.training.weights import save_weights, weights_info

_LAYER_NOISE = 1  # keeps the seed of dropout apart from that of the batches


def train(
    config: TrainConfig,
    dataset: ImageDataset,
    run: RunFolder,
    *,
    resume: bool = False,
    overwrite: bool = False,
    console: Console | None = None,
) -> dict[str, Any]:
    """Train a network and write its run folder; nothing is written before the settings are known to work.

    Args:
        config, dataset: what to train on what.
        run: the folder; with `resume` one that holds a run with these settings.
        resume: continue after the last whole epoch.
        overwrite: replace a run that stands there.
        console: where to show the progress, standard output by default.

    Returns:
        The last epoch's metrics: `epoch`, `loss` (training), `lr`, `test_loss`, `test_accuracy` (0 to 1, of
        the saved weights), `seconds`, `images_per_second`, `peak_memory_bytes`, `peak_memory_kind`.

    Raises:
        ValueError: for settings that cannot work, a folder that is taken or a state that does not fit.
        NonFiniteError: when training diverges, naming epoch and step; the last epoch's files stay.
    """
    learner = Learner(config, dataset)
    if not resume:
        run.check_free(overwrite)
    with run.locked():
        history = _restore(learner, run) if resume else None
        if history is None:
            history = []
            run.create(config, dataset)
        _write(learner, dataset, run, history)
        return _train_epochs(learner, dataset, run, history, console)


def _train_epochs(
    learner: Learner, dataset: ImageDataset, run: RunFolder, history: list[dict[str, Any]], console: Console | None
) -> dict[str, Any]:
    """The epochs that are left, and the metrics of the last one."""
    from torch.utils.tensorboard import SummaryWriter  # slow to import

    config, done = learner.config, len(history)
    writer = SummaryWriter(str(run.events), purge_step=done + 1)
    with ProgressReporter(config.epochs, learner.steps_per_epoch, done, console) as reporter:
        try:
            for epoch in range(done + 1, config.epochs + 1):
                row = _train_epoch(learner, dataset, epoch, reporter)
                for name, value in row.items():
                    if isinstance(value, float):
                        writer.add_scalar(name, value, epoch)
                writer.flush()  # before the state is written: a run resumed from it starts with the next epoch
                history.append(row)
                _write(learner, dataset, run, history)
                reporter.epoch(row)
        except NonFiniteError as error:
            last = f"the weights of epoch {len(history)}" if history else "its first, untrained weights"
            kept = f"{run.path} keeps {last}"
            raise NonFiniteError(f"{error}; {kept}; start again with a lower --lr, now {config.lr}") from error
        finally:
            writer.close()
    return history[-1]


def _train_epoch(learner: Learner, dataset: ImageDataset, epoch: int, reporter: ProgressReporter) -> dict[str, Any]:
    """One epoch, counted from 1, and its metrics."""
    config, device = learner.config, learner.device
    torch.manual_seed(seeded_generator(config.seed, epoch, _LAYER_NOISE).initial_seed())
    batches = training_batches(dataset, config.batch_size, config.seed, epoch, config.augment)
    step, started, images, total, lr = 0, time.perf_counter(), 0, 0.0, learner.lr
    for step, (inputs, labels) in enumerate(batches, start=1):
        try:
            loss = learner.step(inputs.to(device), labels.to(device)).item()
        except NonFiniteError as error:
            raise NonFiniteError(f"stopped at epoch {epoch}, step {step}: {error}") from error
        images += len(labels)
        total += loss * len(labels)
        reporter.step(epoch, total / images, images / (time.perf_counter() - started), peak_memory(device))
    seconds = time.perf_counter() - started
    result = evaluate(learner.trained, dataset, dataset.test)
    if not math.isfinite(result.loss):
        raise NonFiniteError(f"stopped at epoch {epoch}, step {step}: the test loss after it is {result.loss}")
    kind, peak = peak_memory(device)
    return {
        "epoch": epoch,
        "loss": total / images,
        "lr": lr,
        "test_loss": result.loss,
        "test_accuracy": result.accuracy,
        "seconds": seconds,
        "images_per_second": images / seconds,
        "peak_memory_bytes": peak,
        "peak_memory_kind": kind,
    }


def _restore(learner: Learner, run: RunFolder) -> list[dict[str, Any]] | None:
    """Bring the learner to where the run stopped; returns the metrics of the epochs done, None for a run that never
    began: nothing is lost by starting it anew."""
    state = run.load_state()
    if state is None:
        return None
    try:
        _check_unchanged(TrainConfig(**state["config"]), learner.config, run)
        learner.load_state_dict(state["learner"])
        return list(state["history"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{str(run.path)!r} cannot be continued: {error}") from error


def _check_unchanged(before: TrainConfig, now: TrainConfig, run: RunFolder) -> None:
    """Refuse other settings than those of the run: the result would be another run's. The device is free."""
    for field in fields(TrainConfig):
        old, new = getattr(before, field.name), getattr(now, field.name)
        if old != new and field.name != "device":
            raise ValueError(
                f"it was started with {field.name}={old!r}, not {new!r}; leave that, or start a new run with "
                f"--config {shlex.quote(str(run.config))} --output DIR"
            )


def _write(learner: Learner, dataset: ImageDataset, run: RunFolder, history: list[dict[str, Any]]) -> None:
    """Write the state, then what follows from it."""
    run.save_state({"config": asdict(learner.config), "learner": learner.state_dict(), "history": history})
    model = learner.trained
    info = weights_info(learner.model_name, model.config, dataset=dataset.name, class_names=dataset.class_names)
    save_weights(model, run.weights, info)
    run.write_metrics(history)
