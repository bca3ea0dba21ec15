"""What a learner is fed with: its batches of a data set, to train and to test on."""

from collections.abc import Iterator
from typing import Any

from trevsnn.data import Augmentation, LabelledData, TrainingStream, default_workers, evaluation_batches
from trevsnn.data.loading import Batch
from trevsnn.training.learner import Learner


def training_batches(learner: Learner, dataset: LabelledData, *, endless: bool = False) -> Iterator[Batch]:
    """This process's batches from the learner's next step to the end of the run, or on and on."""
    config = learner.config
    batches_per_step = learner.batches_per_step * learner.processes.world
    assert dataset.train is not None, "the learner has checked it"
    stream = TrainingStream(
        dataset.train,
        learner.preprocessing,
        Augmentation.of(config.augmentation),
        len(dataset.class_names),
        batch_size=config.batch_size,
        batches_per_epoch=learner.steps_per_epoch * batches_per_step,
        seed=config.seed,
        skip_bad=config.skip_bad_images,
        **_place(learner, dataset),
    )
    last = 2**60 if endless else config.epochs * learner.steps_per_epoch * batches_per_step
    return stream.batches(learner.steps * batches_per_step, last)


def test_batches(learner: Learner, dataset: LabelledData) -> Iterator[Batch]:
    """This process's share of the test images."""
    return evaluation_batches(dataset.test, learner.preprocessing, **_place(learner, dataset))


def _place(learner: Learner, dataset: LabelledData) -> dict[str, Any]:
    """By which processes the batches are made, and for which."""
    return {
        "rank": learner.processes.rank,
        "world": learner.processes.world,
        "workers": reading_workers(learner, dataset),
        "pinned": learner.device.type == "cuda",
    }


def reading_workers(learner: Learner, dataset: LabelledData) -> int:
    """How many processes make the batches; 0 for the training process itself."""
    wanted = learner.config.workers
    return default_workers(dataset.in_memory, learner.processes.local_world) if wanted is None else wanted
