"""Batches from samples; what is in a batch follows from the seed and its number alone."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from trevsnn.data.augmentation import Augmentation
from trevsnn.data.dataset import Samples
from trevsnn.data.events.cache import CachedFrames
from trevsnn.data.events.preprocessing import FramePreprocessing
from trevsnn.data.pictures import BadImageError
from trevsnn.data.preprocessing import Preprocessing
from trevsnn.data.seeding import MIX, ORDER, SAMPLE, random_state, seeded
from trevsnn.data.workers import made_by_workers

AnyPreprocessing = Preprocessing | FramePreprocessing

TEST_BATCH = 64  # fixed, so that training and `trevsnn eval` add up the same numbers
_WINDOW = 2**14  # images among which those of a few shards are shuffled
_MOST_WORKERS = 8
_TOGETHER = 16  # recordings that a process converts at a time
MOST_BAD = 100
"""Unreadable images in a batch that are too many to go on: more likely, the disk is gone."""


class Batch(NamedTuple):
    """Images and what belongs to them."""

    images: Tensor
    """(N, C, H, W), or clips (T, N, C, H, W), float."""
    targets: Tensor
    """(N,) class indices, or (N, num_classes) shares where images are mixed."""
    bad: list[str]
    """A message for every image that could not be read."""


class Prepared(NamedTuple):
    """Some recordings that were converted, or could not be."""

    count: int
    bad: list[str]
    """A message for every recording that could not be read."""
    failure: str | None
    """Why nothing more can be written."""


class BadImages:
    """What becomes of images that cannot be read: the first stops the run, or they are listed.

    Args:
        skip: whether to go on.
        file: where to list them, a message per line, to be continued if it exists; None to list them in memory only.
    """

    def __init__(self, skip: bool = False, file: Path | None = None):
        self.skip, self.file = skip, file
        self.known: set[str] = set()

    def report(self, messages: Sequence[str]) -> None:
        """Take note of images.

        Raises:
            BadImageError: for the first, unless they are listed; for very many in one batch in any case.
        """
        if not messages:
            return
        if not self.skip:
            raise BadImageError(f"{messages[0]}; repair it, or go on without such ones: --skip-bad-images")
        if len(messages) >= MOST_BAD:
            raise BadImageError(f"{len(messages)} images in one batch cannot be read, the first: {messages[0]}")
        self._read()
        new = sorted({" ".join(message.split()) for message in messages} - self.known)
        self.known.update(new)
        if self.file is not None and new:
            with self.file.open("a", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in new)

    def count(self) -> int:
        """How many are listed."""
        self._read()
        return len(self.known)

    def _read(self) -> None:
        """Other processes, and earlier parts of the run, list theirs in the same file."""
        if self.skip and self.file is not None and self.file.exists():
            self.known.update(self.file.read_text(encoding="utf-8", errors="replace").splitlines())


class TrainingStream(Dataset):
    """The batches of a whole training run, one after another over all epochs.

    The order of an epoch follows from (seed, epoch), an image's augmentation from (seed, epoch, its index), and which
    images share a batch does not depend on the number of processes: batch j of an epoch goes to process j % world.
    Images that fill no whole optimiser step are left out of the epoch. An image that cannot be read is replaced by
    the next one that can.

    Args:
        samples: what the batches are made of.
        preprocessing: how a sample becomes the input of the network.
        augmentation: how it is varied.
        num_classes: of the data set.
        batch_size: N.
        batches_per_epoch: of all processes.
        seed: of the run.
        rank: of this process, from 0.
        world: how many processes there are.
        workers: processes that make batches; 0 for this one.
        pinned: in memory from which a GPU copies faster.
        skip_bad: whether to look for another image in place of one that cannot be read.
    """

    def __init__(
        self,
        samples: Samples,
        preprocessing: AnyPreprocessing,
        augmentation: Augmentation,
        num_classes: int,
        *,
        batch_size: int,
        batches_per_epoch: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        workers: int = 0,
        pinned: bool = False,
        skip_bad: bool = False,
    ):
        self.samples = samples
        self.augmentation = augmentation
        self.num_classes = num_classes
        self.batch_size = batch_size
        self.batches_per_epoch = batches_per_epoch
        self.seed = seed
        self.rank, self.world = rank, world
        self.workers = workers
        self.pinned = pinned
        self.skip_bad = skip_bad
        self.transform = augmentation.transform(preprocessing)
        self.channels = preprocessing.input_size[0]
        self.batch_dim = preprocessing.batch_dim

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        """This process's batches of those with the numbers `first` to `last` (exclusive), counted over all epochs."""
        return made_by_workers(self, _Keys(self, first, last), self.workers, self.pinned)

    def keys(self, first: int, last: int) -> Iterator["_Key"]:
        """Of these batches."""
        epoch, order = -1, np.empty(0)
        for number in range(first + (self.rank - first) % self.world, last, self.world):
            if epoch != number // self.batches_per_epoch:
                epoch = number // self.batches_per_epoch
                order = epoch_order(self.samples.group_sizes(), self.seed, epoch)
            start = number % self.batches_per_epoch * self.batch_size
            yield _Key(epoch, number, order[start : start + self.batch_size])

    def __getitem__(self, key: "_Key") -> Batch:
        images = []
        labels = []
        bad = []
        for index in map(int, key.indices):
            with random_state(self.seed, SAMPLE, key.epoch, index):
                found = self._first_good(index, bad)
            if found is None:
                return Batch(torch.empty(0), torch.empty(0), bad)  # its messages stop the run
            images.append(found[0])
            labels.append(found[1])
        with random_state(self.seed, MIX, key.number):
            stacked = torch.stack(images, self.batch_dim)
            mixed = self.augmentation.mix(stacked, torch.tensor(labels), self.num_classes)
        return Batch(*mixed, bad)

    def _first_good(self, index: int, bad: list[str]) -> tuple[Tensor, int] | None:
        """The image of this index or, where it cannot be read, the next one that can; None if there is none near."""
        for place in islice(cycle(chain(range(index, len(self.samples)), range(index))), MOST_BAD - len(bad)):
            try:
                return self.transform(self.samples.open(place, self.channels)), int(self.samples.labels[place])
            except BadImageError as error:
                bad.append(str(error))
                if not self.skip_bad:
                    break
        return None


class _Key(NamedTuple):
    epoch: int
    number: int
    indices: np.ndarray


@dataclass(frozen=True)
class _Keys:
    """As a sampler."""

    stream: TrainingStream
    first: int
    last: int

    def __iter__(self) -> Iterator[_Key]:
        return self.stream.keys(self.first, self.last)


def epoch_order(groups: Sequence[int], seed: int, epoch: int) -> np.ndarray:
    """A permutation of all images; where they lie in several groups, nearly group by group, the groups in any order."""
    generator = np.random.default_rng(seeded(seed, ORDER, epoch))
    if len(groups) == 1:
        return generator.permutation(groups[0])
    pieces = np.split(np.arange(sum(groups)), np.cumsum(groups)[:-1])
    order = np.concatenate([pieces[i] for i in generator.permutation(len(groups))])
    for start in range(0, len(order), _WINDOW):
        generator.shuffle(order[start : start + _WINDOW])
    return order


def evaluation_batches(
    samples: Samples,
    preprocessing: AnyPreprocessing,
    *,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
    pinned: bool = False,
) -> Iterator[Batch]:
    """One pass over all images in order; of several processes each gets its share. Images that cannot be read are left
    out."""
    source = _TestBatches(samples, preprocessing.transform(), preprocessing.input_size[0], preprocessing.batch_dim)
    starts = range(rank * TEST_BATCH, len(samples), world * TEST_BATCH)
    return made_by_workers(source, [np.arange(s, min(s + TEST_BATCH, len(samples))) for s in starts], workers, pinned)


def readable(batches: Iterable[Batch], bad: BadImages) -> Iterator[Batch]:
    """The batches that have images; of those that could not be read, note is taken.

    Raises:
        BadImageError: as `BadImages.report`.
    """
    for batch in batches:
        bad.report(batch.bad)
        if len(batch.targets):
            yield batch


def default_workers(in_memory: bool, local_processes: int = 1) -> int:
    """Worker processes by default: none where images are in memory, else the CPU cores shared out, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 0 if in_memory else min(_MOST_WORKERS, max(1, cores // local_processes))


def missing_frames(samples: CachedFrames, rank: int = 0, world: int = 1) -> list[np.ndarray]:
    """Indices of the recordings whose frames are yet to be made, of this process's share of all, in parts that are read
    from the same file or few ones."""
    groups = np.split(np.arange(len(samples)), np.cumsum(samples.group_sizes())[:-1])
    parts = [group[start : start + _TOGETHER] for group in groups for start in range(0, len(group), _TOGETHER)]
    # shared out before others' files appear, so that each process comes to the same shares
    missing = (part[[not samples.is_current(int(index)) for index in part]] for part in parts[rank::world])
    return [part for part in missing if len(part)]


def prepare_frames(samples: CachedFrames, parts: Sequence[np.ndarray], workers: int) -> Iterator[Prepared]:
    """Make the frames of these recordings, and say so part by part."""
    return made_by_workers(_Preparation(samples), parts, workers, pinned=False)


@dataclass(frozen=True, eq=False)
class _Preparation(Dataset):
    samples: CachedFrames

    def __getitem__(self, indices: np.ndarray) -> Prepared:
        bad: list[str] = []
        for index in map(int, indices):
            try:
                self.samples.prepare(index)
            except BadImageError as error:
                bad.append(str(error))
            except OSError as error:
                return Prepared(len(indices), bad, str(error))
        return Prepared(len(indices), bad, None)


@dataclass(frozen=True, eq=False)
class _TestBatches(Dataset):
    samples: Samples
    transform: Callable[[Any], Tensor]
    channels: int
    batch_dim: int

    def __getitem__(self, indices: np.ndarray) -> Batch:
        images = []
        labels = []
        bad = []
        for index in indices:
            try:
                images.append(self.transform(self.samples.open(int(index), self.channels)))
                labels.append(int(self.samples.labels[index]))
            except BadImageError as error:
                bad.append(str(error))
        return Batch(torch.stack(images, self.batch_dim) if images else torch.empty(0), torch.tensor(labels), bad)
