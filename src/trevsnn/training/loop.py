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
from trevsnn.training.learner import Learner
from trevsnn.training.origins import Origins
from trevsnn.training.processes import Processes, joined
from trevsnn.training.progress import ProgressReporter, peak_memory
from trevsnn.training.run_folder import RunFolder
from trevsnn.training.run_state import RunState, SavedState, with_same_steps
from trevsnn.training.setup import choose_device
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
    overwrite = overwrite or resume
    resume = resume and began  # one that never began loses nothing by starting anew
    with ExitStack() as stack:
        processes = stack.enter_context(joined(choose_device(config.device).type))
        request = stack.enter_context(stop_requests())
        processes.check_same_settings(_shared_settings(config, dataset))
        with processes.all_or_none():
            saved = run.load_state() if resume else None
            learner = _learner(config, dataset, processes, resume, saved)
            if processes.is_first:
                if not resume:
                    run.check_free(overwrite)
                stack.enter_context(run.locked())
        if not processes.is_first:
            console = Console(quiet=True)
        heading = describe_run(learner, dataset, origins)
        console.print(heading, markup=False, highlight=False, soft_wrap=True)
        dataset = with_frames(dataset, learner.preprocessing, learner.config)
        with processes.all_or_none():
            workers = reading_workers(learner, dataset)
            make_frames(dataset, learner.config, workers, processes=processes, console=console, request=request)
        _stop_if_asked(learner, request)
        state = _begun(RunState(learner, dataset, run), saved, heading, console)
        return _Epochs(state, console, request).train()


def _learner(
    config: TrainConfig, dataset: LabelledData, processes: Processes, resume: bool, saved: SavedState | None
) -> Learner:
    """What is trained; of a run that goes on, in its steps."""
    notes: list[str] = []
    if saved is not None:
        config, notes = with_same_steps(config, saved, processes.world)
    learner = Learner(config, dataset, processes, fresh=not resume)
    learner.notes += notes
    return learner


def _shared_settings(config: TrainConfig, dataset: LabelledData) -> dict[str, Any]:
    """What must be the same in all processes; where the data are may differ, and how many workers read them."""
    own = {"data", "cache", "weights", "workers"}
    settings = {name: value for name, value in config.by_name().items() if name not in own}
    sizes = {"number of training samples": len(dataset.train or ()), "number of test samples": len(dataset.test)}
    return settings | sizes | {"number of classes": len(dataset.class_names)}


def _begun(state: RunState, saved: SavedState | None, heading: str, console: Console) -> RunState:
    """Write the first files of a run; or bring everything to where it stopped, and tidy its folder."""
    learner, folder = state.learner, state.folder
    first = learner.processes.is_first
    with learner.processes.all_or_none():
        if saved is not None:
            unreadable = state.restore(saved)
            for name in unreadable:
                _warn(console, f"checkpoint {name} cannot be read; going on from the one before")
            if first:
                folder.tidy(unreadable)
                folder.write_data(state.dataset)
                folder.write_metrics(state.history)
        elif first:
            folder.create(learner.config, state.dataset)
            with decoration("samples", partial(_warn, console)):
                folder.write_samples(state.dataset)
            folder.write_start(heading, learner.load_report)
            state.save_epoch()
    learner.processes.check_equal("steps", learner.steps)
    return state


class _Epochs:
    """The epochs of a run that are left: what their steps, tests and saves share."""

    def __init__(self, state: RunState, console: Console, request: StopRequest):
        self.state = state
        self.learner = state.learner
        self.console = console
        self.request = request
        self.first = state.learner.processes.is_first
        self.bad = BadImages(state.learner.config.skip_bad_images, state.folder.bad_images)
        things = "recordings" if self.learner.model.config.frames else "images"
        epochs = self.learner.config.epochs
        self.reporter = ProgressReporter(epochs, self.learner.steps_per_epoch, self.learner.steps, console, things)

    def train(self) -> dict[str, Any]:
        """Returns the last epoch's metrics."""
        state, epochs = self.state, self.learner.config.epochs
        warn = partial(_warn, self.console)
        first_epoch = len(state.history) + 1
        with EventLog(state.folder.events, first_epoch, warn) if self.first else nullcontext() as events, self.reporter:
            batches = self.request.interruptible(training_batches(self.learner, state.dataset))
            for epoch in range(first_epoch, epochs + 1):
                row, confusion = self._epoch(epoch, batches)
                state.end_epoch(row, confusion)
                self._save(state.save_epoch, needed=epoch == epochs)
                if events is not None:
                    events.add(row)
                self.reporter.epoch(row)
            if self.first:
                with decoration("the confusion matrix", warn):
                    state.draw()
        return state.history[-1]

    def _epoch(self, epoch: int, batches: Iterator[Batch]) -> tuple[dict[str, Any], Tensor]:
        """What is left of an epoch, counted from 1; the metrics and the confusion matrix."""
        state = self.state
        try:
            self._steps(epoch, batches)
            self._save(state.save)  # testing may take long
            return self._test(epoch)
        except (StoppedError, LoadingError):  # while it waited for data: the last step is whole
            self._save(state.save)
            raise
        except NonFiniteError as error:
            last = f"the weights of epoch {epoch - 1}" if epoch > 1 else "its first, untrained weights"
            raise NonFiniteError(
                f"stopped at epoch {epoch}, {error}; {state.folder.path} keeps {last}; start again with a lower --lr, "
                f"now {self.learner.config.lr}"
            ) from error

    def _steps(self, epoch: int, batches: Iterator[Batch]) -> None:
        learner, so_far = self.learner, self.state.epoch

        def readable() -> Iterator[tuple[Tensor, Tensor]]:
            for batch in islice(batches, learner.batches_per_step):
                self.bad.report(batch.bad)
                yield batch.images, batch.targets

        saved = time.perf_counter()
        while so_far.steps < learner.steps_per_epoch:
            _stop_if_asked(learner, self.request)
            started = time.perf_counter()
            if started - saved > 60 * learner.config.checkpoint_minutes and so_far.steps:
                self._save(self.state.save)
                saved = started = time.perf_counter()
            try:
                so_far.loss += learner.step(readable())
            except NonFiniteError as error:
                raise NonFiniteError(f"step {so_far.steps + 1}: {error}") from error
            so_far.steps += 1
            so_far.seconds += time.perf_counter() - started
            images_per_second = so_far.steps * learner.effective_batch / so_far.seconds
            memory = peak_memory(learner.device)
            self.reporter.step(epoch, so_far.loss / so_far.steps, images_per_second, learner.lr, memory)

    def _test(self, epoch: int) -> tuple[dict[str, Any], Tensor]:
        """The metrics of an epoch whose steps are done, and its confusion matrix."""
        learner, so_far = self.learner, self.state.epoch
        batches = self.request.interruptible(test_batches(learner, self.state.dataset))
        result = evaluate(learner.trained, batches, self.bad, learner.processes)
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
            "bad_images": self.bad.count(),
        }
        return row, result.confusion

    def _save(self, save: Callable[[], None], needed: bool = False) -> None:
        """Write something, in the first process; when that fails and it is not the last time, go on and try again
        later."""
        if not self.first:
            return
        try:
            save()
        except OSError as error:
            if needed:
                raise
            self.reporter.warn(f"{in_words(error)}; training goes on, and will try again")


def _stop_if_asked(learner: Learner, request: StopRequest) -> None:
    """End when a signal has asked any of the processes to."""
    (number,) = learner.processes.sum(request.signal_number or 0, device=learner.device)
    if number:
        raise StoppedError(request.signal_number or signal.SIGTERM)


def _warn(console: Console, message: str) -> None:
    console.print(f"warning: {message}", soft_wrap=True, markup=False, highlight=False)
