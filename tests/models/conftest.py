import pytest
import torch
from helpers import excite

from trevsnn import create_model


@pytest.fixture
def build():
    """Builds a small excited network with other options."""

    def build(**options):
        torch.manual_seed(0)
        small = {"channels": (8, 8, 12, 12), "num_classes": 5, "kernel_size": 3, "in_chans": 3}
        model = excite(create_model("trevsnn_tiny", **{**small, **options}))
        model.set_intermediate_supervision()
        return model

    return build


@pytest.fixture
def images():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
