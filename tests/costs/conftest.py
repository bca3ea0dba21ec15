import pytest
import torch
from helpers import small_network

from trevsnn.data.loading import Batch


@pytest.fixture
def build():
    """Builds a small network with other options."""

    return lambda **options: small_network(**{"in_chans": 2, **options}).eval()


@pytest.fixture
def batches():
    """The same 7 random images or clips of 32 x 40 pixels for a network, so many at a time."""

    def batches(model, sizes=(7,)):
        like = next(model.parameters())
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(model.config.input_shape(7, 32, 40), generator=generator).to(like)
        dim = 1 if model.config.frames else 0
        return [Batch(part, torch.zeros(part.shape[dim]), []) for part in x.split(list(sizes), dim)]

    return batches
