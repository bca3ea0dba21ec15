import gc
from dataclasses import replace

import pytest
import torch

from trevsnn.data import LabelledData, PixelSamples, load_dataset


@pytest.fixture(autouse=True, scope="session")
def deterministic_kernels():
    """Deterministic kernels, uninitialised memory filled with NaN, and one thread (the tensors are tiny)."""
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    gc.freeze()  # what was imported stays, and need not be looked through again and again


@pytest.fixture(scope="session")
def few_digits() -> LabelledData:
    """48 images to train on, 60 to test."""
    dataset = load_dataset("digits")
    parts = {
        name: PixelSamples(split.pixels[:count], split.labels[:count])
        for name, split, count in (("train", dataset.train, 48), ("test", dataset.test, 60))
    }
    return replace(dataset, **parts)
