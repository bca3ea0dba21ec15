import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trevsnn.neurons import Neuron, dense, spike
from trevsnn.reversible.codes import SpikeCode

NEURON = Neuron()
EDGES = [-math.inf, -1.0, -0.0, 0.0, 0.49999997, 0.5, 0.50000006, 1.0, 1.0000001, math.inf, math.nan]
shapes = st.one_of(
    st.tuples(st.integers(0, 4), st.integers(1, 9)),
    st.tuples(st.integers(0, 3), st.integers(1, 5), st.integers(1, 7)),
    st.tuples(st.integers(0, 3), st.integers(1, 5), st.integers(1, 5), st.integers(1, 5)),
    st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
)


def potentials(shape, seed=0, dtype=torch.float32):
    """Membrane potentials around the threshold, with every special value among them."""
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(shape, generator=generator).flatten()
    edges = torch.tensor(EDGES)[: v.numel()]
    v[torch.randperm(v.numel(), generator=generator)[: len(edges)]] = edges
    return v.view(shape).to(dtype)


def check_round_trip(v):
    v = v.detach().requires_grad_()
    code = SpikeCode.encode(v, NEURON)
    spikes = code.decode()
    weight = torch.arange(1.0, v.numel() + 1).to(v.dtype).view(v.shape)
    (grad,) = torch.autograd.grad((spikes * weight).sum(), v)
    assert spikes.dtype == v.dtype
    assert spikes.stride() == v.stride()
    assert torch.equal(spikes, NEURON.fires(v).to(v.dtype))
    assert torch.equal(grad, NEURON.in_window(v).to(v.dtype) * weight)


@given(shapes, st.integers(0, 99), st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
@settings(deadline=None, derandomize=True, max_examples=80)
def test_a_code_holds_spike_and_surrogate_of_any_shape(shape, seed, dtype):
    check_round_trip(potentials(shape, seed, dtype))


@given(st.tuples(*[st.integers(1, 5)] * 4), st.integers(0, 99))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_channels_last_layout_is_kept(shape, seed):
    check_round_trip(potentials(shape, seed).to(memory_format=torch.channels_last))


@given(shapes)
@settings(deadline=None, derandomize=True, max_examples=40)
def test_a_code_takes_a_quarter_byte_per_neuron(shape):
    v = torch.zeros(shape)
    code = SpikeCode.encode(v, NEURON)
    assert code.packed.dtype == torch.uint8
    assert code.packed.nbytes == -(-v.numel() // 4)
    assert code.token.shape == v.shape
    assert code.token.untyped_storage().nbytes() == v.element_size()


def test_nothing_but_the_bytes_is_kept_for_the_backward_pass():
    v, saved = torch.rand(4, 9, requires_grad=True), []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x.nbytes), lambda x: x):
        SpikeCode.encode(v, NEURON).decode()
    assert saved == [9]


def test_codes_of_a_part_of_a_tensor_read_that_part():
    v = potentials((6, 4, 3))
    assert all(torch.equal(a, b) for a, b in zip(NEURON.encode(v[2:5]), NEURON.encode(v[2:5].clone()), strict=True))


def test_decoding_gives_the_values_and_gradient_of_spike():
    v = potentials((3, 7)).requires_grad_()
    weight = torch.randn(3, 7)
    expected, actual = spike(v), SpikeCode.encode(v, NEURON).decode()
    assert torch.equal(actual, expected)
    assert torch.equal(*(torch.autograd.grad((x * weight).sum(), v)[0] for x in (actual, expected)))


def test_two_readers_of_a_code_add_their_gradients():
    v = torch.tensor([[0.2, 0.7, 3.0]], requires_grad=True)
    code = SpikeCode.encode(v, NEURON)
    (code.decode() * 2 + code.decode() * 5).sum().backward()
    assert v.grad.tolist() == [[7, 7, 0]]


@pytest.mark.parametrize(
    ("v", "kept"),
    [
        (torch.rand(2, 3, 4), True),
        (torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last), True),
        (torch.rand(2, 3, 4, 5).transpose(2, 3), False),
        (torch.rand(2, 4, 3).transpose(1, 2), False),
        (torch.rand(2, 3, 8)[..., ::2], False),
        (torch.rand(1, 3).expand(4, 3), False),
    ],
)
def test_dense_copies_only_what_is_neither_row_major_nor_channels_last(v, kept):
    assert (dense(v) is v) == kept
    assert torch.equal(dense(v), v)
    check_round_trip(dense(v))
