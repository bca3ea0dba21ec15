import pytest
import torch
from torch import nn

from trevsnn import create_model


def excite(model: nn.Module) -> nn.Module:
    """Weights and statistics under which the neurons of a small network fire, so that no gradient is 0 for want of
    spikes."""
    generator = torch.Generator().manual_seed(0)
    for name, p in model.named_parameters():
        if p.dim() == 4:
            p.data = torch.randn(p.shape, generator=generator) * (1.5 / p[0].numel() ** 0.5)
        elif name.endswith(("bias", "norm.weight", "gain", "gamma")):
            p.data += 0.3 * torch.rand(p.shape, generator=generator)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.data = 0.1 * torch.randn(buffer.shape, generator=generator)
        elif name.endswith("running_var"):
            buffer.data = 0.5 + torch.rand(buffer.shape, generator=generator)
    return model


@pytest.fixture
def build():
    """Builds a small excited network with other options."""

    def build(**options):
        torch.manual_seed(0)
        small = {"channels": (8, 8, 12, 12), "num_classes": 5, "kernel_size": 3, "in_chans": 3}
        return excite(create_model("trevsnn_tiny", **{**small, **options}))

    return build


@pytest.fixture
def images():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
