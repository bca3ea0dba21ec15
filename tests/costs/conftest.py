import pytest
import torch
from helpers import excite

from trevsnn import create_model
from trevsnn.data.loading import Batch


@pytest.fixture
def build():
    """Builds a small excited network with other options."""

    def build(**options):
        torch.manual_seed(0)
        small = {"channels": (8, 8, 12, 12), "num_classes": 5, "kernel_size": 3, "in_chans": 2}
        return excite(create_model("trevsnn_tiny", **{**small, **options})).eval()

    return build


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
