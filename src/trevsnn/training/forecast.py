"""Two steps of a run without writing anything: what the whole run takes, and whether reading images keeps up."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from rich.console import Console

from trevsnn.data import BadImages, LabelledData
from trevsnn.data.events.cache import CachedFrames
from trevsnn.data.loading import Batch, missing_frames
from trevsnn.training.batches import reading_workers, test_batches, training_batches
from trevsnn.training.config import TrainConfig
from trevsnn.training.evaluation import evaluate
from trevsnn.training.event_frames import with_frames
from trevsnn.training.heading import describe_run
from trevsnn.training.learner import Learner
from trevsnn.training.origins import Origins
from trevsnn.training.processes import joined
from trevsnn.training.progress import peak_memory
from trevsnn.training.run_folder import RunFolder
from trevsnn.training.run_state import with_same_steps
from trevsnn.training.setup import choose_device

MOST_LOADED, LOADING_SECONDS = 64, 20.0
"""Loading is timed for so many batches, or so long."""
TESTED = 2
"""Batches whose testing is timed."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a run will take, of this process and all processes together."""

    parameters: int
    """Learned ones."""
    steps_per_epoch: int
    """Optimiser steps."""
    effective_batch: int
    """Images per optimiser step."""
    loading_images_per_second: float
    """Of reading and augmenting alone, by all processes, if they do as well as this one."""
    training_images_per_second: float
    """Of the training step alone, by all processes."""
    test_seconds: float
    """Of testing after an epoch."""
    seconds: float
    """Of all epochs."""
    memory: tuple[str, int]
    """What is counted, and the most of it so far (bytes)."""
    to_convert: int = 0
    """Recordings that are yet to become frames, which happens once; until then they are loaded more slowly."""

    @property
    def loading_is_slower(self) -> bool:
        """Whether training will wait for images."""
        return not self.to_convert and self.loading_images_per_second < self.training_images_per_second


def forecast_run(
    config: TrainConfig,
    dataset: LabelledData,
    *,
    resume: RunFolder | None = None,
    console: Console | None = None,
    origins: Origins | None = None,
) -> Forecast:
    """Build all, time the loading of some batches, two steps and a test of some images.

    Args:
        config: what to train, and how.
        dataset: what to train it on.
        resume: the run that is to be continued with these settings.
        console: where to show the first lines of the run; None for nowhere.
        origins: where the settings come from.

    Raises:
        ValueError: as `train`.
        NonFiniteError: as `train`.
        BadImageError: as `train`.
    """
    with joined(choose_device(config.device).type) as processes:
        notes: list[str] = []
        if resume is not None:
            config, notes = with_same_steps(config, resume.load_state(), processes.world)
        learner = Learner(config, dataset, processes, fresh=resume is None)
        learner.notes += notes
        if console is not None and processes.is_first:
            console.print(describe_run(learner, dataset, origins), markup=False, highlight=False, soft_wrap=True)
        dataset = with_frames(dataset, learner.preprocessing, config, read_only=True)
        batches = training_batches(learner, dataset, endless=True)
        device = learner.device
        (loading,) = processes.sum(_images_per_second(batches, reading_workers(learner, dataset)), device=device)
        batch = next(batches)
        BadImages(config.skip_bad_images).report(batch.bad)
        del batches  # and the workers, which would go on loading
        step = [(batch.images, batch.targets)] * learner.batches_per_step
        _, step_seconds = (_time(lambda: learner.step(step)) for _ in range(2))
        training = learner.effective_batch / step_seconds
        tested = list(islice(test_batches(learner, dataset), TESTED))
        (images,) = processes.sum(sum(len(batch.targets) for batch in tested), device=device)
        seconds = _time(lambda: evaluate(learner.trained, tested, BadImages(skip=True), processes))
        test_seconds = max(seconds / images, 1 / loading) * len(dataset.test)
        epoch_seconds = learner.steps_per_epoch * learner.effective_batch / min(training, loading) + test_seconds
        return Forecast(
            parameters=learner.learned_parameters,
            steps_per_epoch=learner.steps_per_epoch,
            effective_batch=learner.effective_batch,
            loading_images_per_second=loading,
            training_images_per_second=training,
            test_seconds=test_seconds,
            seconds=config.epochs * epoch_seconds,
            memory=peak_memory(device),
            to_convert=sum(
                sum(map(len, missing_frames(samples)))
                for samples in (dataset.train, dataset.test)
                if isinstance(samples, CachedFrames)
            ),
        )


def _images_per_second(batches: Iterator[Batch], workers: int) -> float:
    """Of making batches, without those that the workers begin with; of some, or as many as come in some seconds."""
    for _ in islice(batches, 1 + 2 * workers):
        pass
    started = time.perf_counter()
    images = 0
    for batch in islice(batches, MOST_LOADED):
        images += len(batch.targets)
        if time.perf_counter() - started > LOADING_SECONDS:
            break
    return images / (time.perf_counter() - started)


def _time(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started
