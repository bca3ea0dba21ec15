import re
from dataclasses import fields
from typing import get_args

import pytest
import torch

from trevsnn import create_model
from trevsnn.models import NetworkConfig
from trevsnn.neurons import Neuron
from trevsnn.reversible import Memory

# For each field a value under which the network is another one.
OTHER = {
    "num_classes": 7,
    "in_chans": 1,
    "timesteps": 2,
    "channels": (8, 8, 12),
    "kernel_size": 5,
    "depth": 4,
    "input_encoding": "grouped",
    "fusion": False,
    "residual_scale": False,
    "learn_decay": False,
    "aux_heads": False,
    "threshold": 0.4,
    "window": (0.2, 0.7),
    "drop_rate": 0.5,
    "drop_path_rate": 0.5,
    "two_stream": True,
    "slices": 1,  # the order of sums
}


def test_the_neuron_is_the_engines_own():
    assert NetworkConfig().neuron == Neuron()


def outcome(model, images):
    """Everything that a training step shows: parameters, outputs, gradients."""
    torch.manual_seed(0)
    outputs = model.train()(images[:, : model.config.in_chans])
    outputs = outputs if isinstance(outputs, list) else [outputs]
    sum(output.square().sum() for output in outputs).backward()
    gradients = [(name, p.grad) for name, p in model.named_parameters() if p.grad is not None]
    return [(str(i), output.detach()) for i, output in enumerate(outputs)] + gradients


def differ(a, b):
    return len(a) != len(b) or any(
        n != m or x.shape != y.shape or not torch.equal(x, y) for (n, x), (m, y) in zip(a, b, strict=True)
    )


def test_every_field_has_an_effect(build, images, monkeypatch):
    monkeypatch.setattr("trevsnn.models.cells.MIN_SLICE", 1)
    of_clips = {"frames", "stem_sharing"}  # see test_clips.py
    assert {field.name for field in fields(NetworkConfig)} == OTHER.keys() | {
        "memory",
        "invert_blocks",
        "block",
    } | of_clips
    reference = outcome(build(), images)
    assert not differ(reference, outcome(build(), images))
    for name, value in OTHER.items():
        assert differ(reference, outcome(build(**{name: value}), images)), name


def test_memory_reaches_the_engine(build):
    for memory in get_args(Memory):
        assert build(memory=memory).grid.memory == memory


@pytest.mark.parametrize(
    ("timesteps", "steps"),
    [(1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (4, [0, 1, 2, 3]), (5, [0, 1, 2, 4]), (8, [1, 3, 5, 7])],
)
def test_heads_are_evenly_spaced_and_the_last_is_at_the_end(timesteps, steps, build, images):
    assert NetworkConfig(timesteps=timesteps).head_steps == steps
    assert NetworkConfig(timesteps=timesteps, aux_heads=False).head_steps == steps[-1:]
    outputs = build(timesteps=timesteps, channels=(4, 4, 4, 4)).train()(images)
    assert (1 if isinstance(outputs, torch.Tensor) else len(outputs)) == len(steps)


@pytest.mark.parametrize(
    ("timesteps", "depth", "blocks"),
    [(4, None, [2, 2, 2, 2]), (4, 8, [2, 2, 2, 2]), (3, 8, [3, 3, 2]), (4, 2, [1, 1, 0, 0])],
)
def test_depth_is_spread_over_the_subnetworks(timesteps, depth, blocks):
    assert NetworkConfig(timesteps=timesteps, depth=depth).blocks_per_cell == blocks


def test_a_fixed_depth_costs_the_same_for_any_number_of_steps():
    """The blocks do; fusion and decays are per step."""

    def block_parameters(timesteps):
        model = create_model("trevsnn_digits", depth=8, timesteps=timesteps)
        return sum(m.pointwise.weight.numel() for row in model.grid.cells for cell in row for m in cell.blocks)

    assert block_parameters(2) == block_parameters(4) == block_parameters(8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": -1}, "num_classes=-1 must be an integer of at least 0"),
        ({"timesteps": 0}, "timesteps=0 must be an integer of at least 1"),
        ({"timesteps": 2.0}, "timesteps=2.0"),
        ({"timesteps": True}, "timesteps=True"),
        ({"in_chans": 0}, "in_chans=0"),
        ({"channels": ()}, "channels=() has no level"),
        ({"channels": 8}, "channels=8 must be a list"),
        ({"channels": "8"}, "channels='8' must be a list"),
        ({"channels": (8, -1)}, "channels=-1"),
        ({"kernel_size": 4}, "kernel_size=4 must be odd, 5 for example"),
        ({"depth": 0}, "depth=0"),
        ({"input_encoding": "split"}, "input_encoding='split' must be 'shared' or 'grouped'"),
        ({"input_encoding": "grouped", "timesteps": 3}, "choose a multiple of 3"),
        ({"input_encoding": "grouped", "channels": (4, 8)}, "choose a multiple of 4, 8 or more"),
        ({"channels": (1, 8)}, "channels=(1, 8): 1 is too few to standardise weights over; use 2 or more"),
        ({"num_classes": 1}, "num_classes=1: 1 is too few"),
        ({"aux_heads": "no"}, "aux_heads='no' must be True or False"),
        ({"fusion": 1}, "fusion=1 must be True or False"),
        ({"residual_scale": None}, "residual_scale=None must be True or False"),
        ({"learn_decay": "fixed"}, "learn_decay='fixed' must be True or False"),
        ({"memory": "none"}, "memory='none' is unknown; choose from reversible, packed, stored"),
        ({"drop_rate": 1.0}, "drop_rate=1.0"),
        ({"two_stream": 1}, "two_stream=1 must be True or False"),
        ({"two_stream": True, "channels": (8, 9)}, "channels=9 must be an even number of at least 4 with two_stream"),
        ({"two_stream": True, "channels": (2,)}, "choose 4 for example"),
        ({"two_stream": True, "timesteps": 2, "depth": 255}, "depth=255 gives a cell 128 blocks"),
        ({"invert_blocks": True}, "add two_stream=True"),
        ({"drop_path_rate": -0.1}, "drop_path_rate=-0.1"),
        ({"drop_rate": "much"}, "drop_rate='much'"),
    ],
    ids=str,
)
def test_values_that_no_network_can_have_are_refused(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        NetworkConfig(**options)


def test_lists_are_accepted_for_channels():
    assert NetworkConfig(channels=[4, 8]).channels == (4, 8)
