"""Training batches that depend on the seed and the epoch alone, so that a resumed run sees the same ones."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from trevsnn.data.augment import random_affine
from trevsnn.data.dataset import ImageDataset


def seeded_generator(seed: int, *key: int) -> torch.Generator:
    """A CPU random generator for a seed and a key, for example the epoch; others give independent numbers."""
    state = np.random.SeedSequence(seed, spawn_key=key).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]) >> 1)


def training_batches(
    dataset: ImageDataset, batch_size: int, seed: int, epoch: int, augment: bool = True
) -> Iterator[tuple[Tensor, Tensor]]:
    """One shuffled pass over the training split: (N, C, H, W) float and (N,) class indices.

    The order follows from (seed, epoch), an image's augmentation from (seed, epoch, its index). Images that
    fill no whole batch are left out of the epoch, for BatchNorm's sake, unless there would be no batch at all.
    """
    count = len(dataset.train)
    generator = seeded_generator(seed, epoch)
    order = torch.randperm(count, generator=generator)
    draws = torch.rand(count, 4, generator=generator) * 2 - 1
    for indices in order[: count - count % batch_size or count].split(batch_size):
        images = dataset.prepare(dataset.train.pixels[indices])
        yield (random_affine(images, draws[indices]) if augment else images), dataset.train.labels[indices]


def batches_per_epoch(dataset: ImageDataset, batch_size: int) -> int:
    """Number of batches that `training_batches` yields."""
    return max(1, len(dataset.train) // batch_size)
