"""A training run from its configuration to its folder, and its exact continuation.

A step depends only on the state before it and on (seed, its number): order, augmentation and dropout are seeded
anew for every image, batch and step. So a run that is cut off and continued ends with the same weights, bit for bit
on one machine's CPU, as one that never stopped.
"""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import fields
from functools import partial
from itertools import islice
from typing import Any

from rich.console import Console
from torch import Tensor

from trevsnn._util.decoration import decoration
from trevsnn._util.files import in_words
from trevsnn.data import BadImages, LabelledData
from trevsnn.data.errors import LoadingError
from trevsnn.data.loading import Batch
from trevsnn.training.batches import reading_workers, test_batches, training_batches
from trevsnn.training.config import TrainConfig
from trevsnn.training.errors import NonFiniteError, StoppedError
from trevsnn.training.evaluation import evaluate
from trevsnn.training.event_frames import make_frames, with_frames
from trevsnn.training.heading import describe_run
from trevsnn.training.learner import Learner, choose_device
from trevsnn.training.origins import Origins
from trevsnn.training.processes import joined
from trevsnn.training.progress import ProgressReporter, peak_memory
from trevsnn.training.run_folder import RunFolder
from trevsnn.training.run_state import RunState, SavedState, with_same_steps
from trevsnn.training.stopping import StopRequest, stop_requests
from trevsnn.training.tensorboard import EventLog


def train(
    config: TrainConfig,
    dataset: LabelledData,
    run: RunFolder,
    *,
    resume: bool = False,
    overwrite: bool = False,
    console: Console | None = None,
    origins: Origins | None = None,
) -> dict[str, Any]:
    """Train a network and write its run folder; nothing is written before the settings are known to work.

    Where torchrun started several processes, they train together, and the first writes and prints. Ctrl-C and SIGTERM
    end the run after the step that it is in.

    Args:
        config: what to train, and how.
        dataset: what to train it on.
        run: the folder; with `resume` one that holds a run with these settings. All processes must see it.
        resume: continue where the last checkpoint was written.
        overwrite: replace a run that stands there.
        console: where to show the progress, standard output by default.
        origins: where the settings come from, for the first lines.

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
    began = bool(run.saved_states()) or run.metrics.exists()
    overwrite, resume = overwrite or resume, resume and began  # one that never began loses nothing by starting anew
    with ExitStack() as stack:
        processes = stack.enter_context(joined(choose_device(config.device).type))
        request = stack.enter_context(stop_requests())
        processes.check_same_settings(_shared_settings(config, dataset))
        with processes.all_or_none():
            saved, notes = run.load_state() if resume else None, []
            if saved is not None:
                config, notes = with_same_steps(config, saved, processes.world)
            learner = Learner(config, dataset, processes, fresh=not resume)
            learner.notes += notes
            if processes.is_first:
                if not resume:
                    run.check_free(overwrite)
                stack.enter_context(run.locked())
        if not processes.is_first:
            console = Console(quiet=True)
        heading = describe_run(learner, dataset, origins)
        console.print(heading, markup=False, highlight=False, soft_wrap=True)
        dataset = with_frames(dataset, learner.preprocessing, config)
        with processes.all_or_none():
            workers = reading_workers(learner, dataset)
            make_frames(dataset, config, workers, processes=processes, console=console, request=request)
        _stop_if_asked(learner, request)
        return _train(RunState(learner, dataset, run), saved, heading, console, request)


def _shared_settings(config: TrainConfig, dataset: LabelledData) -> dict[str, Any]:
    """What must be the same in all processes; where the data are may differ, and how many workers read them."""
    own = {"data", "cache", "weights", "workers"}
    settings = {field.name: getattr(config, field.name) for field in fields(config) if field.name not in own}
    sizes = {"number of training samples": len(dataset.train or ()), "number of test samples": len(dataset.test)}
    return settings | sizes | {"number of classes": len(dataset.class_names)}


def _train(
    state: RunState, saved: SavedState | None, heading: str, console: Console, request: StopRequest
) -> dict[str, Any]:
    learner = state.learner
    folder = state.folder
    config = state.learner.config
    first = learner.processes.is_first
    epochs = config.epochs
    processes = learner.processes
    warn = partial(_warn, console)
    with processes.all_or_none():
        if saved is not None:
            unreadable = state.restore(saved)
            for name in unreadable:
                console.print(
                    f"warning: checkpoint {name} cannot be read; going on from the one before", soft_wrap=True
                )
            if first:
                folder.tidy(unreadable)
                folder.write_data(state.dataset)
                folder.write_metrics(state.history)
        elif first:
            folder.create(config, state.dataset)
            with decoration("samples", warn):
                folder.write_samples(state.dataset)
            folder.write_start(heading, learner.load_report)
            state.save_epoch()
    processes.check_equal("steps", learner.steps)
    bad = BadImages(config.skip_bad_images, folder.bad_images)
    things = "recordings" if learner.model.config.frames else "images"
    with (
        EventLog(folder.events, len(state.history) + 1, warn) if first else nullcontext() as events,
        ProgressReporter(epochs, learner.steps_per_epoch, learner.steps, console, things) as reporter,
    ):
        batches = request.interruptible(training_batches(learner, state.dataset))
        for epoch in range(len(state.history) + 1, epochs + 1):
            try:
                _train_epoch(state, epoch, batches, bad, reporter, request)
                _save_or_warn(state.save, reporter, first)  # testing may take long
                row, confusion = _test(state, epoch, bad, request)
            except (StoppedError, LoadingError):  # while it waited for data: the last step is whole
                _save_or_warn(state.save, reporter, first)
                raise
            except NonFiniteError as error:
                last = f"the weights of epoch {epoch - 1}" if epoch > 1 else "its first, untrained weights"
                raise NonFiniteError(
                    f"stopped at epoch {epoch}, {error}; {folder.path} keeps {last}; start again with a lower --lr, "
                    f"now {config.lr}"
                ) from error
            state.end_epoch(row, confusion)
            _save_or_warn(state.save_epoch, reporter, first, needed=epoch == epochs)
            if events is not None:
                events.add(row)
            reporter.epoch(row)
        if first:
            with decoration("the confusion matrix", warn):
                state.draw()
    return state.history[-1]


def _train_epoch(
    state: RunState,
    epoch: int,
    batches: Iterator[Batch],
    bad: BadImages,
    reporter: ProgressReporter,
    request: StopRequest,
) -> None:
    """What is left of an epoch, counted from 1."""
    learner, so_far = state.learner, state.epoch

    def readable() -> Iterator[tuple[Tensor, Tensor]]:
        for batch in islice(batches, learner.batches_per_step):
            bad.report(batch.bad)
            yield batch.images, batch.targets

    saved = time.perf_counter()
    while so_far.steps < learner.steps_per_epoch:
        _stop_if_asked(learner, request)
        started = time.perf_counter()
        if started - saved > 60 * learner.config.checkpoint_minutes and so_far.steps:
            _save_or_warn(state.save, reporter, learner.processes.is_first)
            saved = started = time.perf_counter()
        try:
            so_far.loss += learner.step(readable())
        except NonFiniteError as error:
            raise NonFiniteError(f"step {so_far.steps + 1}: {error}") from error
        so_far.steps += 1
        so_far.seconds += time.perf_counter() - started
        images_per_second = so_far.steps * learner.effective_batch / so_far.seconds
        reporter.step(epoch, so_far.loss / so_far.steps, images_per_second, learner.lr, peak_memory(learner.device))


def _test(state: RunState, epoch: int, bad: BadImages, request: StopRequest) -> tuple[dict[str, Any], Tensor]:
    """The metrics of an epoch whose steps are done, and its confusion matrix."""
    learner, so_far = state.learner, state.epoch
    batches = request.interruptible(test_batches(learner, state.dataset))
    result = evaluate(learner.trained, batches, bad, learner.processes)
    if not math.isfinite(result.loss):
        raise NonFiniteError(f"step {so_far.steps}: the test loss after it is {result.loss}")
    kind, peak = peak_memory(learner.device)
    row = {
        "epoch": epoch,
        "loss": so_far.loss / so_far.steps,
        "lr": so_far.lr,
        "test_loss": result.loss,
        "test_accuracy": result.accuracy,
        "seconds": so_far.seconds,
        "images_per_second": so_far.steps * learner.effective_batch / so_far.seconds,
        "peak_memory_bytes": peak,
        "peak_memory_kind": kind,
        "bad_images": bad.count(),
    }
    return row, result.confusion


def _stop_if_asked(learner: Learner, request: StopRequest) -> None:
    """End when a signal has asked any of the processes to."""
    (number,) = learner.processes.sum(request.signal_number or 0, device=learner.device)
    if number:
        raise StoppedError(request.signal_number or signal.SIGTERM)


def _warn(console: Console, message: str) -> None:
    console.print(f"warning: {message}", soft_wrap=True, markup=False, highlight=False)


def _save_or_warn(save: Callable[[], None], reporter: ProgressReporter, first: bool, needed: bool = False) -> None:
    """Write something, in the first process; when that fails and it is not the last time, go on and try again later."""
    if not first:
        return
    try:
        save()
    except OSError as error:
        if needed:
            raise
        reporter.warn(f"{in_words(error)}; training goes on, and will try again")
