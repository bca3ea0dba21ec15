"""A training run from its configuration to its folder, and its exact continuation.

A step depends only on the state before it and on (seed, its number): order, augmentation and dropout are seeded
anew for every image, batch and step. So a run that is cut off and continued ends with the same weights, bit for bit
on one machine's CPU, as one that never stopped.
"""

import math
import shlex
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import islice
from typing import Any

from rich.console import Console

from trevsnn.data import BadImages, ImageDataset
from trevsnn.data.loading import Batch
from trevsnn.models import LoadReport, save_weights, weights_info
from trevsnn.training.config import TrainConfig, dump_config, parse_config
from trevsnn.training.evaluation import evaluate
from trevsnn.training.feeding import test_batches, training_batches
from trevsnn.training.learner import Learner, NonFiniteError, choose_device
from trevsnn.training.processes import joined
from trevsnn.training.progress import ProgressReporter, peak_memory
from trevsnn.training.run_folder import RunFolder
from trevsnn.training.stopping import StoppedError, StopRequest, stop_requests

FREE_TO_CHANGE = {
    "device",
    "data",
    "workers",
    "weights",
    "checkpoint_minutes",
    "keep_checkpoints",
    "skip_bad_images",
    "compile",
}
"""Settings that a continued run may have otherwise: they do not decide how it comes out, rounding aside."""


@dataclass
class _EpochSoFar:
    """What the metrics of the epoch in progress are made of."""

    steps: int = 0
    loss: float = 0.0
    """Summed over the steps."""
    seconds: float = 0.0


@dataclass
class _Run:
    """A run in progress."""

    learner: Learner
    dataset: ImageDataset
    folder: RunFolder
    bad: BadImages
    history: list[dict[str, Any]] = field(default_factory=list)
    epoch: _EpochSoFar = field(default_factory=_EpochSoFar)


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

    Where torchrun started several processes, they train together, and the first writes and prints. Ctrl-C and SIGTERM
    end the run after the step that it is in.

    Args:
        config, dataset: what to train on what.
        run: the folder; with `resume` one that holds a run with these settings. All processes must see it.
        resume: continue where the last checkpoint was written.
        overwrite: replace a run that stands there.
        console: where to show the progress, standard output by default.

    Returns:
        The last epoch's metrics: `epoch`, `loss` (training), `lr`, `test_loss`, `test_accuracy` (0 to 1), `seconds`,
        `images_per_second`, `peak_memory_bytes`, `peak_memory_kind`, `bad_images` (that could not be read).

    Raises:
        ValueError: for settings that cannot work, a folder that is taken or a state that does not fit.
        NonFiniteError: when training diverges, naming epoch and step; the last epoch's files stay.
        BadImageError: for an image that cannot be read, unless these are skipped.
        StoppedError: after a signal; the state was saved.
        OSError: when the last state cannot be written. (Of one before, a full disk is only a warning.)
    """
    console = console or Console()
    with joined(choose_device(config.device).type) as processes, stop_requests() as request:
        learner = Learner(config, dataset, processes, fresh=not resume)
        if processes.is_first:
            if not resume:
                run.check_free(overwrite)
            if learner.load_report is not None:
                console.print(describe_loaded(learner.load_report), soft_wrap=True)
        else:
            console = Console(quiet=True)
        processes.wait()
        with run.locked() if processes.is_first else nullcontext():
            return _train(learner, dataset, run, resume, console, request)


def _train(
    learner: Learner, dataset: ImageDataset, folder: RunFolder, resume: bool, console: Console, request: StopRequest
) -> dict[str, Any]:
    config, first = learner.config, learner.processes.is_first
    run = _Run(learner, dataset, folder, BadImages())
    if not (resume and _restore(run)) and first:
        folder.create(learner.config, dataset)
        _write_weights(run)
        _save(run)
    learner.processes.wait()
    if config.skip_bad_images:
        run.bad = BadImages(folder.bad_images)
    if first:
        folder.write_metrics(run.history)
    with (
        _events(folder, len(run.history) + 1) if first else nullcontext() as events,
        ProgressReporter(config.epochs, learner.steps_per_epoch, learner.steps, console) as reporter,
    ):
        batches = training_batches(learner, dataset)
        for epoch in range(len(run.history) + 1, config.epochs + 1):
            try:
                row = _train_epoch(run, epoch, batches, reporter, request)
            except NonFiniteError as error:
                last = f"the weights of epoch {len(run.history)}" if run.history else "its first, untrained weights"
                raise NonFiniteError(
                    f"stopped at epoch {epoch}, step {run.epoch.steps}: {error}; {folder.path} keeps {last}; start "
                    f"again with a lower --lr, now {config.lr}"
                ) from error
            run.history.append(row)
            run.epoch = _EpochSoFar()
            if events is not None:
                for name, value in row.items():
                    if isinstance(value, float):
                        events.add_scalar(name, value, epoch)
                events.flush()  # before the state is written: a run resumed from it starts with the next epoch
                _write_weights(run)
                _save_or_warn(run, reporter, needed=epoch == config.epochs)
                folder.write_metrics(run.history)
            reporter.epoch(row)
    return run.history[-1]


@contextmanager
def _events(folder: RunFolder, epoch: int) -> Iterator[Any]:
    """A writer of TensorBoard events, of this epoch and later ones."""
    from torch.utils.tensorboard import SummaryWriter  # slow to import

    writer = SummaryWriter(str(folder.events), purge_step=epoch)
    try:
        yield writer
    finally:
        writer.close()


def _train_epoch(
    run: _Run, epoch: int, batches: Iterator[Batch], reporter: ProgressReporter, request: StopRequest
) -> dict[str, Any]:
    """What is left of an epoch, counted from 1, and its metrics."""
    learner, config, so_far, lr = run.learner, run.learner.config, run.epoch, run.learner.lr
    saved = now = time.perf_counter()
    while so_far.steps < learner.steps_per_epoch:
        _stop_if_asked(run, request)
        if learner.processes.is_first and now - saved > 60 * config.checkpoint_minutes:
            _save_or_warn(run, reporter)
            saved = time.perf_counter()
        started, taken = time.perf_counter(), list(islice(batches, learner.batches_per_step))
        for batch in taken:
            run.bad.report(batch.bad)
        so_far.steps += 1
        so_far.loss += learner.step([(batch.images, batch.targets) for batch in taken])
        now = time.perf_counter()
        so_far.seconds += now - started
        images_per_second = so_far.steps * learner.effective_batch / so_far.seconds
        reporter.step(epoch, so_far.loss / so_far.steps, images_per_second, learner.lr, peak_memory(learner.device))
    return _epoch_metrics(run, epoch, lr)


def _epoch_metrics(run: _Run, epoch: int, lr: float) -> dict[str, Any]:
    """Test the network at the end of an epoch."""
    learner, processes, so_far = run.learner, run.learner.processes, run.epoch
    model = learner.trained
    processes.share_buffers(model)
    result = evaluate(model, test_batches(learner, run.dataset), run.bad, processes)
    if not math.isfinite(result.loss):
        raise NonFiniteError(f"the test loss after it is {result.loss}")
    kind, peak = peak_memory(learner.device)
    return {
        "epoch": epoch,
        "loss": so_far.loss / so_far.steps,
        "lr": lr,
        "test_loss": result.loss,
        "test_accuracy": result.accuracy,
        "seconds": so_far.seconds,
        "images_per_second": so_far.steps * learner.effective_batch / so_far.seconds,
        "peak_memory_bytes": peak,
        "peak_memory_kind": kind,
        "bad_images": len(run.bad.known),
    }


def _stop_if_asked(run: _Run, request: StopRequest) -> None:
    """Save the state and end, when a signal has asked any of the processes to."""
    (number,) = run.learner.processes.sum(request.signal_number or 0, device=run.learner.device)
    if number:
        if run.learner.processes.is_first:
            _save(run)
        raise StoppedError(request.signal_number or signal.SIGTERM)


def _restore(run: _Run) -> bool:
    """Bring everything to where the run stopped; False for one that never began, which loses nothing by starting."""
    state, config = run.folder.load_state(), run.learner.config
    if state is None:
        return False
    try:
        _, before = parse_config(state["config"], str(run.folder.config))
        _check_unchanged(TrainConfig(**before), config, run.folder)
        for name, old, new in (
            ("class_names", tuple(state["class_names"]), run.dataset.class_names),
            ("effective_batch", state["effective_batch"], run.learner.effective_batch),
            ("training images", state["images"], len(run.dataset.train or ())),
        ):
            if old != new:
                raise ValueError(f"it was started with {name}={_shortened(old)}, not {_shortened(new)}")
        run.learner.load_state_dict(state["learner"])
        run.history, run.epoch = list(state["history"]), _EpochSoFar(**state["epoch"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{str(run.folder.path)!r} cannot be continued: {error}") from error
    return True


def _shortened(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def _check_unchanged(before: TrainConfig, now: TrainConfig, run: RunFolder) -> None:
    """Refuse other settings than those of the run: the result would be another run's."""
    for field_ in fields(TrainConfig):
        old, new = getattr(before, field_.name), getattr(now, field_.name)
        if old != new and field_.name not in FREE_TO_CHANGE:
            raise ValueError(
                f"it was started with {field_.name}={old!r}, not {new!r}; leave that, or start a new run with "
                f"--recipe {shlex.quote(str(run.config))} --output DIR"
            )


def _save(run: _Run) -> None:
    """Write the state."""
    learner = run.learner
    run.folder.save_state(
        learner.steps,
        {
            "config": dump_config(run.dataset.name, learner.config),
            "class_names": list(run.dataset.class_names),
            "effective_batch": learner.effective_batch,
            "images": len(run.dataset.train or ()),
            "learner": learner.state_dict(),
            "history": run.history,
            "epoch": asdict(run.epoch),
        },
        keep=learner.config.keep_checkpoints,
    )


def _save_or_warn(run: _Run, reporter: ProgressReporter, needed: bool = False) -> None:
    """Write the state; when that fails and it is not the last one, go on and try again later."""
    try:
        _save(run)
    except OSError as error:
        if needed:
            raise
        reporter.warn(f"{error}; training goes on, and will try again")


def _write_weights(run: _Run) -> None:
    """Write the weights of the last epoch, and once more if they are the best so far."""
    learner, dataset, history = run.learner, run.dataset, run.history
    accuracies = [row["test_accuracy"] for row in history]
    note = f"epoch {len(history)} of {learner.config.epochs}"
    info = weights_info(
        learner.model_name,
        learner.trained.config,
        dataset=dataset.name,
        class_names=dataset.class_names,
        preprocessing=asdict(learner.preprocessing),
        note=note,
    )
    save_weights(learner.trained, run.folder.weights, info)
    if accuracies and accuracies[-1] > max(accuracies[:-1], default=-1.0):
        best = f"{note}, the best so far by the accuracy on the test images, {accuracies[-1]:.2%}"
        save_weights(learner.trained, run.folder.best, replace(info, note=best))


def describe_loaded(report: LoadReport) -> str:
    """What training starts from, in words."""
    lines = [f"started from {len(report.loaded)} tensors of the weights file"]
    for names, what in (
        (report.replaced, "new, of other shape or for other classes"),
        (report.missing, "new, not in the file"),
        (report.unknown, "in the file only"),
    ):
        if names:
            lines.append(
                f"  {what}: {', '.join(names[:4])}" + (f" and {len(names) - 4} more" if len(names) > 4 else "")
            )
    return "\n".join(lines)
