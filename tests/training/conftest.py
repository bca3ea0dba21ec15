from dataclasses import replace

import pytest

from trevsnn.data import LabelledData, PixelSamples, load_dataset


@pytest.fixture(scope="session")
def few_digits() -> LabelledData:
    """48 images to train on, all 360 to test."""
    dataset = load_dataset("digits")
    parts = {
        name: PixelSamples(split.pixels[:count], split.labels[:count])
        for name, split, count in (("train", dataset.train, 48), ("test", dataset.test, 360))
    }
    return replace(dataset, **parts)
