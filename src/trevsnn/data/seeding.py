"""Random numbers that follow from a seed and a place in the run, so that a resumed run draws the same ones."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

ORDER, SAMPLE, MIX, LAYERS = range(4)
"""What numbers are for: the first part of the key."""


def seeded(seed: int, *key: int) -> np.random.SeedSequence:
    """The source of the numbers of a key, for example (ORDER, epoch); other keys give independent numbers."""
    return np.random.SeedSequence(seed, spawn_key=key)


def seed_of(seed: int, *key: int) -> int:
    """A seed below 2^63 of the numbers of a key."""
    return int(seeded(seed, *key).generate_state(1, np.uint64)[0]) >> 1


@contextmanager
def random_state(seed: int, *key: int) -> Iterator[None]:
    """Python's, NumPy's and PyTorch's CPU generators give the numbers of a key, and afterwards go on as before."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 (what transforms draw from)
    number = seed_of(seed, *key)
    random.seed(number)
    np.random.seed(number % 2**32)  # noqa: NPY002
    torch.default_generator.manual_seed(number)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        torch.set_rng_state(before[2])
