import pytest
import torch
from helpers import small_network


@pytest.fixture
def build():
    """Builds a small network with other options, to train with all its heads."""

    def build(**options):
        model = small_network(**options)
        model.set_intermediate_supervision()
        return model

    return build


@pytest.fixture
def images():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
