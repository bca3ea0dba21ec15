"""SpikingJelly's memory optimisation, as the comparison and the benchmark use it."""

import pytest
import torch
from torch import nn

from trevsnn import create_model
from trevsnn.costs.timed_step import TrainingStep, measure_memory
from trevsnn.models.baselines.memopt import optimise_memory
from trevsnn.training import intermediate_supervision_loss

pytest.importorskip("spikingjelly")


def built(name):
    torch.manual_seed(0)
    return create_model(name, timesteps=4)


@pytest.mark.parametrize("name", ["ms_resnet_digits", "sdt_digits"])
def test_a_network_takes_less_memory_and_learns_the_same(name):
    images = torch.randn(2, built(name).config.in_chans, 32, 32)
    step = TrainingStep(images, torch.tensor([0, 1]), "fp32", intermediate_supervision_loss)
    plain, optimised = built(name), built(name)
    optimise_memory(optimised, step.forward, 1)
    gradients, peaks = [], []
    for network in (plain, optimised):
        peaks.append(measure_memory(network, step))
        step.run(network)
        gradients.append([p.grad for p in network.parameters()])
    assert peaks[1] < peaks[0]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_blocks_of_a_sew_resnet_are_checkpointed():
    network = built("sew_resnet34")
    before = {name: type(module) for name, module in network.named_modules()}
    optimise_memory(network, lambda network: network(torch.zeros(1, 3, 32, 32)), 1)
    changed = [name for name, module in network.named_modules() if before.get(name, type(module)) is not type(module)]
    assert changed
    assert all(before[name].__name__ == "BasicBlock" for name in changed)


def test_what_cannot_be_optimised():
    network = built("ms_resnet_digits")
    forward = lambda network: network(torch.randn(2, 1, 32, 32))  # noqa: E731
    with pytest.raises(TimeoutError, match="no memory plan found within -1 s"):
        optimise_memory(network, forward, 1, search_limit=-1)
    with pytest.raises(ValueError, match=r"network=Linear is none of ms_resnet, .*; give one of these"):
        optimise_memory(nn.Linear(2, 2), forward, 1)
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="require CUDA"):
            optimise_memory(network, forward, 2)
