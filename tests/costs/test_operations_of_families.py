"""What is counted in networks that run as a whole at every step."""

import pytest
import torch
from torch import nn

from trevsnn import create_model
from trevsnn.costs.energy import layer_costs, total
from trevsnn.costs.operations import assume_operations, measure_operations
from trevsnn.data.loading import Batch
from trevsnn.models import BaseConfig, SpikingNetwork, count_macs


class Toy(SpikingNetwork):
    """A stem, a convolution that is called at every step or once for all, a potential passed on, and a classifier.

    Step t sees, of 2 x 2 neurons, those of the brightest t + 1 pixels fire.
    """

    def __init__(self, multi_step=False, **options):
        super().__init__(BaseConfig(**{"num_classes": 3, "in_chans": 1, "timesteps": 3, **options}))
        self.multi_step = multi_step
        self.stem = nn.Conv2d(1, 1, 1, bias=False)
        self.conv = nn.Conv2d(1, 2, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(1, 2, 1, bias=False)
        self.head = nn.Linear(2, 3)
        nn.init.ones_(self.stem.weight)
        nn.init.constant_(self.conv.weight, 0.5)

    def forward(self, x):
        steps = list(x) if self.config.frames else [x] * self.config.timesteps
        steps = [self.stem(frame) for frame in steps]
        spikes = torch.stack([(v >= 3 - t).float() for t, v in enumerate(steps)])  # pixels are 0, 1, 2 and 3
        if self.multi_step:
            maps = self.conv(spikes.flatten(0, 1)).unflatten(0, spikes.shape[:2])
        else:
            maps = torch.stack([self.conv(step) for step in spikes])
        maps = maps + self.shortcut(0.5 + steps[0])
        return self.head((maps > 100).float().mean((0, 3, 4)))


PIXELS = torch.tensor([[0.0, 1.0], [2.0, 3.0]])[None, None]


@pytest.mark.parametrize("multi_step", [False, True])
def test_a_network_counted_by_hand(multi_step):
    images = PIXELS.repeat(5, 1, 1, 1)
    found = measure_operations(Toy(multi_step), [Batch(part, torch.zeros(len(part)), []) for part in images.split(3)])
    # every pixel of 2 x 2 is under 4 of the 9 taps at each of 2 outputs; 1, 2 and 3 neurons of 4 fire at the steps
    expected = {
        "stem stem": (4, 3, False, None),  # once for all steps
        "conv conv": (3 * 9 * 2 * 4, (1 + 2 + 3) * 4 * 2, True, 6 / 12),
        "conv shortcut": (2 * 4, 2 * 4, False, None),
        "linear head": (2 * 3, 0, True, 0.0),
    }
    assert {x.name: (x.macs, x.operations, x.binary, x.firing_rate) for x in found.layers} == expected
    costs = {cost.layer.name: cost for cost in layer_costs(found)}
    assert total(cost.by["strict"] for cost in costs.values()).macs == 3 + 8
    assert total(cost.by["strict"] for cost in costs.values()).accumulates == 48
    mean = 0.5 * 216 / (216 + 6)  # over the layers that have a rate
    assert costs["conv shortcut"].by["published"].accumulates == pytest.approx(mean * 8)
    assert total(cost.by["published"] for cost in costs.values()).macs == 4, "the stem alone"


def test_clips_count_every_frame():
    clips = PIXELS.repeat(3, 2, 1, 1, 1)
    stem, *_ = measure_operations(Toy(frames=True), [Batch(clips, torch.zeros(2), [])]).layers
    assert (stem.macs, stem.operations) == (3 * 4, 3 * 3)


def test_an_assumed_rate_is_that_of_the_layers_that_receive_spikes():
    found = assume_operations(Toy(), (1, 2, 2), 0.25)
    expected = {
        "stem stem": (4, False, None),
        "conv conv": (0.25 * 3 * 4 * 4 * 2, True, 0.25),
        "conv shortcut": (8, False, None),
        "linear head": (6, False, 0.25),
    }
    assert {x.name: (x.operations, x.binary, x.firing_rate) for x in found.layers} == expected
    assert found.images == 0
    with pytest.raises(ValueError, match=r"firing_rate=2 must be from 0 to 1"):
        assume_operations(Toy(), (1, 2, 2), 2)


@pytest.mark.parametrize("name", ["ms_resnet_digits", "sdt_digits", "sew_resnet34", "ms_resnet_dvs"])
def test_networks_of_spikingjelly(name):
    pytest.importorskip("spikingjelly")
    model = create_model(name, timesteps=2)
    size = model.config.in_chans, 32, 32
    layers = assume_operations(model, size, 0.1).layers
    again = 0 if model.config.frames else layers[0].macs  # the second time that the stem computes
    assert sum(layer.macs for layer in layers) + again == count_macs(model, size)
    floats = [layer.name for layer in layers if layer.firing_rate is None]
    assert floats[0].startswith("stem network.")
    assert all("downsample" in name for name in floats[1:]), "spikes, and membrane potentials in shortcuts"
    sums = [layer for layer in layers if layer.kind == "conv" and layer.firing_rate is not None and not layer.binary]
    assert bool(sums) == (name == "sew_resnet34")
    assert all(layer.firing_rate == pytest.approx(0.1) for layer in layers if layer.firing_rate is not None)


SHAPE = {"channels": (4, 6, 8), "blocks": (1, 1, 2), "in_chans": 1, "num_classes": 5, "stem_stride": 1, "timesteps": 3}


@pytest.mark.parametrize("frames", [False, True])
def test_steps_that_share_their_weights_are_added_up(frames):
    model = create_model("trev_ms_resnet_digits", frames=frames, **SHAPE)
    images = torch.full(model.config.input_shape(2, 16, 16), 2.0)  # could be taken for sums of spikes
    found = measure_operations(model, [Batch(images, torch.zeros(2), [])])
    first = "grid.cells.0.0.down" if frames else "encoder"
    of_level_0 = 3 if frames else 1  # calls: images go through the first stage once
    # weights x positions x calls
    expected = {
        f"stem {first}.0.conv": (9 * 4) * 16**2 * of_level_0,
        f"conv {first}.1.conv1.conv": (9 * 4 * 4) * 8**2 * of_level_0,
        f"conv {first}.1.conv2.conv": (9 * 4 * 4) * 8**2 * of_level_0,
        f"conv {first}.1.shortcut.conv": (4 * 4) * 8**2 * of_level_0,
        "conv grid.cells.0.1.down.0.conv1.conv": (9 * 4 * 6) * 4**2 * 3,
        "conv grid.cells.0.1.down.0.conv2.conv": (9 * 6 * 6) * 4**2 * 3,
        "conv grid.cells.0.1.down.0.shortcut.conv": (4 * 6) * 4**2 * 3,
        "conv grid.cells.0.2.down.0.conv1.conv": (9 * 6 * 8) * 2**2 * 3,
        "conv grid.cells.0.2.down.0.conv2.conv": (9 * 8 * 8) * 2**2 * 3,
        "conv grid.cells.0.2.down.0.shortcut.conv": (6 * 8) * 2**2 * 3,
        "conv grid.cells.0.2.down.1.conv1.conv": (9 * 8 * 8) * 2**2 * 3,
        "conv grid.cells.0.2.down.1.conv2.conv": (9 * 8 * 8) * 2**2 * 3,
        "conv grid.cells.1.0.up.conv": (6 * 4) * 4**2 * 2,  # nothing comes from above at step 0
        "conv grid.cells.1.1.up.conv": (8 * 6) * 2**2 * 2,
        "linear head": 8 * 5,
    }
    assert {layer.name: layer.macs for layer in found.layers} == expected
    assert sum(expected.values()) == count_macs(model, (1, 16, 16))
    stem, potential = (layer for layer in found.layers if layer.firing_rate is None)
    assert (stem.kind, potential.name) == ("stem", f"conv {first}.1.shortcut.conv")
    taps = (16 * 3 - 2) ** 2  # of 3 x 3 on 16 x 16 pixels, without padding
    assert stem.operations == 4 * taps * of_level_0


@pytest.mark.parametrize("name", ["trev_ms_resnet_digits", "trev_ms_resnet_dvs"])
def test_an_assumed_rate_of_a_reversible_ms_resnet(name):
    model = create_model(name, channels=(4, 4, 8, 8), blocks=(1, 1, 1, 1), timesteps=2)
    size = model.config.in_chans, 32, 32
    layers = assume_operations(model, size, 0.1).layers
    assert sum(layer.macs for layer in layers) == count_macs(model, size)
    stem, *others = [layer for layer in layers if layer.firing_rate is None]
    assert stem.kind == "stem"
    assert [layer.name.rpartition(".1.")[2] for layer in others] == ["shortcut.conv"], "a membrane potential"
    assert all(layer.binary for layer in layers if layer.kind == "conv" and layer not in others)
    assert all(layer.firing_rate == pytest.approx(0.1) for layer in layers if layer.firing_rate is not None)
