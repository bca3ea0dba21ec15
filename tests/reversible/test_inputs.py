"""What a grid receives, and what it shows of itself."""

import pytest
import torch
from helpers import assert_same_gradients, gradients
from torch import nn

from trevsnn.neurons import Neuron
from trevsnn.reversible import ReversibleGrid


class Linear(nn.Linear):
    def forward(self, below, above=None):
        return super().forward(below)


class Conv(nn.Conv2d):
    def forward(self, below, above=None):
        return super().forward(below)


def linear_grid(timesteps=3, **options):
    torch.manual_seed(0)
    return ReversibleGrid([[Linear(4, 6), Linear(6, 5)] for _ in range(timesteps)], [0.5, 0.9], **options)


def conv_grid(timesteps=3):
    torch.manual_seed(0)
    return ReversibleGrid([[Conv(2, 6, 3)] for _ in range(timesteps)], [0.5])


@pytest.mark.parametrize("shape", [(3, 2, 4), (5, 2, 4), (2, 3, 4), (3, 2, 7, 4)])
def test_a_tensor_that_may_be_frames_is_refused(shape):
    x = torch.rand(shape)
    with pytest.raises(ValueError, match=rf"may be {shape[0]} samples.*3 steps.*constant=x, or with frames=x"):
        linear_grid()(x)


def test_frames_of_any_kind_and_constants_are_what_they_are_called():
    grid, clip = linear_grid(), torch.rand(3, 2, 4)
    (of_tensor,), (of_list,), (by_place,) = grid(frames=clip), grid(frames=list(clip)), grid(list(clip))
    assert torch.equal(of_tensor, of_list)
    assert torch.equal(of_tensor, by_place)
    same = clip[:1].expand_as(clip)
    assert torch.equal(*(outputs[0] for outputs in (grid(constant=clip[0]), grid(frames=same))))
    assert torch.equal(*(outputs[0] for outputs in (grid(constant=clip[0]), grid(clip[0]))))
    assert grid(constant=clip)[0].shape == (3, 2, 5), "three samples of two vectors each, if so they are called"


def test_an_image_is_told_by_the_convolutions():
    images = torch.rand(3, 2, 8, 8)  # as many as there are steps
    assert conv_grid()(images)[0].shape == (3, 6, 6, 6)
    with pytest.raises(ValueError, match="may be 3 samples"):
        conv_grid()(images.expand(3, 3, 2, 8, 8))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "give the input of a grid once"),
        ({"constant": torch.rand(2, 4), "frames": torch.rand(3, 2, 4)}, "give the input of a grid once"),
        ({"frames": torch.rand(4, 2, 4)}, "frames holds 4 tensors, but the grid has 3 timesteps"),
        ({"inputs": [torch.rand(2, 4)] * 2}, "inputs holds 2 tensors, but the grid has 3 timesteps"),
        ({"frames": [torch.rand(2, 4), torch.rand(3, 4), torch.rand(2, 4)]}, r"frames\[1\] of shape \(3, 4\)"),
    ],
)
def test_what_cannot_be_an_input_is_named(inputs, message):
    with pytest.raises(ValueError, match=message):
        linear_grid()(**inputs)


@pytest.mark.parametrize("memory", ["stored", "packed", "reversible"])
def test_an_observer_sees_every_step_and_changes_nothing(memory):
    grid, x, seen = linear_grid(memory=memory), torch.rand(2, 4), []
    (plain,) = grid(x)
    with grid.observe(lambda state: seen.append((state.t, state.spikes(0).mean(), state.membranes[1].shape))):
        (observed,) = grid(x)
    assert torch.equal(observed, plain)
    assert [(t, shape) for t, _, shape in seen] == [(t, (2, 5)) for t in range(3)]
    grid(x)
    assert len(seen) == 3, "no longer"


def test_without_temporal_gradient_a_step_sees_the_one_before_as_a_constant():
    grid, clip = linear_grid(memory="stored"), torch.rand(3, 2, 4, requires_grad=True)

    def gradient_of_last_step():
        (last,) = grid(frames=clip, readout=lambda state: state.membranes[1] if state.t == 2 else None)
        (grad,) = torch.autograd.grad(last.sum(), clip)
        return grad.abs().sum((1, 2)) > 0

    assert gradient_of_last_step().all()
    with grid.without_temporal_gradient():
        assert gradient_of_last_step().tolist() == [False, False, True]
    assert gradient_of_last_step().all()
    grid.set_memory("reversible")
    with pytest.raises(ValueError, match="can be cut with memory='stored' only"), grid.without_temporal_gradient():
        pass


@pytest.mark.parametrize("neuron", [Neuron(), Neuron(threshold=0.2, window=(0.1, 0.4))], ids=str)
def test_any_neuron_is_bit_identical_in_all_memory_settings(neuron):
    found = {}
    for memory in ("stored", "packed", "reversible"):
        grid = linear_grid(memory=memory, neuron=neuron)
        for cell in [cell for row in grid.cells for cell in row]:
            cell.weight.data *= 3  # so that neurons fire
        x = (4 * torch.rand(8, 4, generator=torch.Generator().manual_seed(1))).requires_grad_()
        (spikes,) = grid(x)
        (spikes * torch.arange(5.0)).sum().backward()
        found[memory] = gradients(grid, [x])
        assert set(spikes.unique().tolist()) == {0, 1}
    assert_same_gradients(found["packed"], found["stored"], decays=None)
    assert_same_gradients(found["reversible"], found["stored"])
