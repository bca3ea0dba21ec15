"""Inside `packed_activations` the graph is the same and keeps less."""

import math
import shutil

import pytest
import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef

from trevsnn.neurons import cheap, packed_activations, spike
from trevsnn.neurons.neuron import _bit, _encode


def gradients(loss, *inputs, **options):
    return torch.autograd.grad(loss, inputs, **options)


@pytest.fixture
def v():
    torch.manual_seed(0)
    return torch.rand(6, 8, requires_grad=True)


def test_spikes_that_an_operator_saves_are_kept_as_bits(v):
    linear = nn.Linear(8, 4)
    expected = gradients(linear(spike(v)).square().sum(), v, linear.weight)
    with packed_activations():
        spikes = spike(v)
        loss = linear(spikes).square().sum()
    memory = StorageWeakRef(spikes.untyped_storage())
    del spikes
    assert memory.expired()
    assert all(torch.equal(a, b) for a, b in zip(gradients(loss, v, linear.weight), expected, strict=True))


def test_only_a_quarter_byte_per_neuron_is_kept(v):
    kept = []
    with packed_activations(), torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.nbytes), lambda x: x):
        spike(v)
    assert kept == [v.numel() // 4]


def test_what_is_cheap_is_done_again_once_for_all_who_ask(v):
    calls = []

    def double(x):
        calls.append(1)
        return 2 * x

    w = torch.rand(6, 8, requires_grad=True)
    expected = gradients(((2 * spike(v)) * w).sum() + ((2 * spike(v)) * w.exp()).sum(), v, w)
    with packed_activations():
        y = cheap(double, spike(v))
        loss = (y * w).sum() + (y * w.exp()).sum()
    memory = StorageWeakRef(y.untyped_storage())
    del y
    assert memory.expired()
    for passes in (1, 2):
        found = gradients(loss, v, w, retain_graph=True)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
        assert len(calls) == 1 + passes


def test_outside_nothing_is_done_again(v):
    calls = []
    y = cheap(lambda x: calls.append(1) or 2 * x, v)
    (y * y).sum().backward()
    assert len(calls) == 1


def test_it_is_done_again_as_it_was_under_autocast(v):
    linear, w = nn.Linear(8, 4), torch.rand(6, 4, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        expected = gradients((linear(spike(v)) * w).float().sum(), w)
        with packed_activations():
            loss = (cheap(linear, spike(v)) * w).float().sum()
    assert torch.equal(*gradients(loss, w), *expected)


def test_a_tensor_changed_before_it_is_saved_is_saved_as_it_is(v):
    w = torch.rand(6, 8, requires_grad=True)
    with packed_activations():
        y = cheap(torch.exp, v.detach()).add_(1)
        (grad,) = gradients((y * w).sum(), w)
    assert torch.equal(grad, v.detach().exp() + 1)


def test_a_tensor_changed_after_it_was_saved_is_an_error(v):
    linear = nn.Linear(8, 4)
    with packed_activations():
        loss = linear(spike(v)).square().sum()
    with torch.no_grad():
        linear.weight.add_(1)
    with pytest.raises(RuntimeError, match=r"modified in place.*call backward\(\) before optimizer.step\(\)"):
        loss.backward()


def test_memory_that_was_given_back_and_taken_again_is_not_taken_for_the_old_tensor():
    w = torch.rand(1000, requires_grad=True)
    with packed_activations():
        for seed in range(20):
            v = torch.rand(1000, generator=torch.Generator().manual_seed(seed), requires_grad=True)
            spike(v)  # gone at once; its memory is free for the next tensor
            x = torch.rand(1000) + seed
            (grad,) = gradients((x * w).sum(), w)
            assert torch.equal(grad, x)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="PyTorch's compiler needs one of C++ on a CPU")
def test_the_compiled_packing_of_a_gpu_gives_the_same_codes():
    v = torch.randn(1001)
    v[:4] = torch.tensor([0.0, 0.5, 1.0, math.nan])

    def packed_and_unpacked(v):
        spikes, codes = _encode(v, 0.5, 0.0, 1.0)
        return spikes, codes, *(_bit(codes, bit, torch.float32) for bit in (0, 1))

    compiled = torch.compile(packed_and_unpacked, dynamic=True)
    for actual, expected in zip(compiled(v), packed_and_unpacked(v), strict=True):
        assert torch.equal(actual, expected)


def test_a_graph_without_a_backward_pass_is_let_go(v):
    """`exp` saves its own result: kept as it is, it would hold the graph that holds it."""
    with packed_activations():
        result = v.exp()
        loss = result.sum()
    memory = StorageWeakRef(result.untyped_storage())
    del result, loss
    assert memory.expired()
