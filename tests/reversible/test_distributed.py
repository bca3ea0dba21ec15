"""DistributedDataParallel over two processes gives the gradients of one process on the whole batch."""

import pytest
import torch
from helpers import (
    Reading,
    accumulate_twice,
    assert_same_gradients,
    distributed_gradients,
    excite,
    gradients,
    make_grid,
)
from processes import call_together
from torch import nn

from trevsnn import create_model


@pytest.mark.slow
def test_two_processes_give_the_gradients_of_one(tmp_path):
    network = excite(create_model("trevsnn_digits", channels=(4, 4, 8, 8), in_chans=3))
    network.set_intermediate_supervision()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # its batch statistics would be those of half a batch
            module.eval()
    models = [
        Reading(make_grid("conv", 4, 3, 0.6, per_step=True)),
        Reading(make_grid("conv", 4, 3, 0.6, reuse_cells=True)),
        network,
    ]
    models = [model.double() for model in models]
    x = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0)).double()
    torch.save((models, x), tmp_path / "models.pt")
    call_together(distributed_gradients, 2, str(tmp_path))
    for i, model in enumerate(models):
        accumulate_twice(model, x)
        for rank in range(2):
            assert_same_gradients(torch.load(tmp_path / f"{i}-{rank}.pt"), gradients(model), "processes", "processes")
