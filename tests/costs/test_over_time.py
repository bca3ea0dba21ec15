"""The cost of inference at other T, and that of the network it is compared with."""

import pytest
import torch
from torch import nn
from torchvision.models import resnet34

from trevsnn import create_model
from trevsnn.costs.over_time import cost_over_time, resnet34_macs
from trevsnn.models import count_macs

SIZE = (3, 64, 64)


@pytest.fixture
def config():
    return create_model("trevsnn_tiny", channels=(8, 8, 12, 12), num_classes=10).config


def test_all_but_fusion_is_the_same_at_every_t(config):
    points = cost_over_time(config, SIZE, 0.1)
    assert [point.timesteps for point in points] == [1, 2, 4, 8]
    assert len({point.macs - point.fusion_macs for point in points}) == 1
    fusion = [point.fusion_macs for point in points]
    down, both = fusion[0], fusion[1] - fusion[0]  # only steps after the first have a level above
    assert fusion == [down, down + both, down + 3 * both, down + 7 * both]
    # three ways down at 8 x 8, 4 x 4, 4 x 4 outputs, three ways up at 8 x 8, 4 x 4, 4 x 4 inputs
    assert down == 9 * 8 * 8 * 64 + 9 * 8 * 12 * 16 + 12 * 12 * 16
    assert both == down + 8 * 8 * 64 + 12 * 8 * 16 + 12 * 12 * 16


def test_it_is_the_network_at_its_own_t(config):
    for point in cost_over_time(config, SIZE, 0.1, [config.timesteps]):
        assert point.macs == count_macs(create_model("trevsnn_tiny", channels=(8, 8, 12, 12), num_classes=10), SIZE)


def test_energy_grows_by_fusion_alone(config):
    for few, many in zip(*(cost_over_time(config, SIZE, 0.2, steps) for steps in ([1, 2], [2, 4])), strict=True):
        grown = {name: many.energy[name] - few.energy[name] for name in many.energy}
        assert grown["published"] == pytest.approx(0.9 * 0.2 * (many.fusion_macs - few.fusion_macs))
        assert 0 < grown["strict"] < grown["published"], "padding costs nothing"


def test_the_resnet_repeats_all_but_its_first_convolution(config):
    first, others = resnet34_macs(SIZE, 10)
    assert first == 49 * 3 * 64 * 32 * 32
    one, two = cost_over_time(config, SIZE, 0.1, [1, 2])
    assert (one.resnet_macs, two.resnet_macs) == (first + others, first + 2 * others)
    assert one.resnet == pytest.approx(4.6 * first + 0.09 * others)
    assert two.resnet == pytest.approx(4.6 * first + 0.18 * others)


def test_the_resnet_has_the_shape_of_torchvisions():
    macs = []

    def count(conv, _, output):
        macs.append(conv.weight.numel() * output[0, 0].numel())

    network = resnet34().eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    with torch.inference_mode():
        network(torch.zeros(1, *SIZE))
    first, others = resnet34_macs(SIZE, 1000)
    assert (first, others) == (macs[0], sum(macs[1:]) + 512 * 1000)
    assert resnet34_macs((1, 64, 64), 1000) == (first // 3, others), "grey images"


def test_clips_are_refused():
    config = create_model("trevsnn_dvs", channels=(4, 4, 8, 8)).config
    with pytest.raises(ValueError, match="frames=True: a clip has a frame for every timestep"):
        cost_over_time(config, (2, 32, 32), 0.1)
