import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trevsnn.neurons import Neuron, packed_activations, spike

NEURON = Neuron()

BELOW, ABOVE = (math.nextafter(0.5, side) for side in (0, 1))


@pytest.mark.parametrize(
    ("v", "fired", "surrogate"),
    [
        (-math.inf, 0, 0),
        (-1.0, 0, 0),
        (math.nextafter(0, -1), 0, 0),
        (-0.0, 0, 1),
        (0.0, 0, 1),
        (BELOW, 0, 1),
        (0.5, 1, 1),
        (ABOVE, 1, 1),
        (1.0, 1, 1),
        (math.nextafter(1, 2), 1, 0),
        (7.0, 1, 0),
        (math.inf, 1, 0),
    ],
)
def test_fires_from_one_half_on_with_gradient_one_between_zero_and_one(v, fired, surrogate):
    membrane = torch.tensor([v], dtype=torch.float64, requires_grad=True)
    spikes = spike(membrane)
    (spikes * 3).sum().backward()
    assert spikes.item() == fired
    assert membrane.grad.item() == 3 * surrogate


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_spikes_keep_shape_and_dtype(dtype):
    v = torch.linspace(-1, 2, 24, dtype=dtype).view(2, 3, 4)
    spikes = spike(v)
    assert spikes.shape == v.shape
    assert spikes.dtype == dtype
    assert torch.equal(spikes, (v >= 0.5).to(dtype))


def test_rounding_up_to_the_threshold_fires():
    almost = torch.tensor(0.49999997)
    assert not NEURON.fires(almost)
    assert NEURON.fires(almost.bfloat16())


def test_nan_neither_fires_nor_passes_a_gradient():
    v = torch.tensor([torch.nan], requires_grad=True)
    spike(v).sum().backward()
    assert spike(v).item() == 0
    assert v.grad.item() == 0


@given(st.lists(st.floats(width=32), min_size=1, max_size=20))
@settings(deadline=None, derandomize=True, max_examples=50)
def test_spike_and_gradient_are_fires_and_in_window(values):
    v = torch.tensor(values, requires_grad=True)
    spikes = spike(v)
    spikes.sum().backward()
    assert torch.equal(spikes, NEURON.fires(v))
    assert torch.equal(v.grad, NEURON.in_window(v))


OTHER = Neuron(threshold=0.3, window=(0.1, 0.75))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_all_ways_to_compute_a_neuron_agree_on_its_limits(dtype):
    limits = torch.tensor([0.1, 0.3, 0.75], dtype=dtype)
    steps = torch.tensor([-torch.inf, torch.inf], dtype=dtype)
    v = torch.cat([limits, *(torch.nextafter(limits, side) for side in steps)]).requires_grad_()
    spikes = OTHER(v)
    (window,) = torch.autograd.grad(spikes.sum(), v)
    assert spikes.tolist() == (v >= limits[1]).float().tolist()
    assert window.tolist() == ((v >= limits[0]) & (v <= limits[2])).float().tolist()
    encoded, codes = OTHER.encode(v)
    assert torch.equal(encoded, spikes)
    assert torch.equal(OTHER.decode(codes, v.shape, v.stride(), dtype), spikes)
    assert torch.equal(OTHER.surrogate(codes, v.shape, v.stride()).to(dtype), window)
    with packed_activations():
        packed = OTHER(v)
        assert torch.equal(packed, spikes)
        assert torch.equal(torch.autograd.grad(packed.sum(), v)[0], window)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0}, "threshold=0 must be a positive number"),
        ({"threshold": math.inf}, "threshold=inf must be a positive number"),
        ({"threshold": "high"}, "threshold='high' must be a positive number"),
        ({"window": 1.0}, "window=1.0 must be two numbers"),
        ({"window": (0.0, math.nan)}, "must be two numbers"),
        ({"window": (0.6, 1.0)}, "window=(0.6, 1.0) must go from a lower to a higher potential, with threshold=0.5"),
        ({"window": (1.0, 0.0)}, "must go from a lower to a higher potential"),
        ({"threshold": 2.0}, "window=(0.0, 1.0) must go from a lower to a higher potential, with threshold=2.0"),
    ],
)
def test_what_is_no_neuron_is_refused(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Neuron(**options)


def test_the_backward_pass_keeps_one_byte_per_neuron():
    v = torch.rand(100, requires_grad=True)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x.nbytes), lambda x: x):
        spike(v)
    assert saved == [100]
