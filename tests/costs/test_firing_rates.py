import torch

from trevsnn.costs.firing_rates import level_firing_rates
from trevsnn.models import create_model


def test_rates_are_those_of_the_spikes():
    torch.manual_seed(0)
    model = create_model("trevsnn_dvs", channels=(4, 4, 8, 8), timesteps=3, memory="stored").train()
    clip = torch.rand(3, 2, 2, 32, 32)
    rates = level_firing_rates(model, clip)
    assert rates.shape == (3, 4)
    assert not model.training
    for level in range(4):
        seen = model.grid(list(clip), lambda state: state.spikes(level))  # noqa: B023
        assert rates[:, level].tolist() == [spikes.mean().item() for spikes in seen]
    assert rates[:, 0].min() > 0
    assert rates.max() < 1
