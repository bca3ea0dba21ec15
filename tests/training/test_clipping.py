"""Clipping all gradients at once."""

import pytest
import torch
from timm.utils.agc import adaptive_clip_grad

from trevsnn import create_model
from trevsnn.training import clipping
from trevsnn.training.clipping import clip_together


def weights(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    shapes = [(8, 3, 3, 3), (8,), (1,), (5, 7), (4, 1, 5, 5), (3, 1, 1, 1), ()]
    made = [torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in shapes]
    for number, w in enumerate(made):
        w.grad = torch.randn(w.shape, generator=generator).to(dtype) * 10.0 ** (number % 4 - 2)
    made[0].grad[2] = 0
    made[3].data[1] = 0
    return [*made, torch.ones(3, requires_grad=True)]


@pytest.mark.parametrize("share", [0.02, 1.0])
@pytest.mark.parametrize("most_values", [clipping._MOST_VALUES, 100, 1])
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_as_layer_by_layer(monkeypatch, share, most_values, dtype, rounding):
    monkeypatch.setattr(clipping, "_MOST_VALUES", most_values)
    ours, theirs = weights(dtype), weights(dtype)
    clip_together(ours, share)
    adaptive_clip_grad(theirs, share)
    for w, expected in zip(ours[:-1], theirs[:-1], strict=True):
        torch.testing.assert_close(w.grad, expected.grad, rtol=rounding, atol=0)
    assert ours[-1].grad is None
    assert any(not torch.equal(w.grad, before.grad) for w, before in zip(ours[:-1], weights(dtype)[:-1], strict=True))


def test_of_a_network_and_of_no_gradients():
    clip_together([], 0.1)
    networks = []
    for clip in (clip_together, adaptive_clip_grad):
        torch.manual_seed(0)
        networks.append(create_model("trevsnn_digits", channels=(4, 8), timesteps=2))
        networks[-1](torch.randn(4, 1, 16, 16)).square().sum().backward()
        clip(networks[-1].parameters(), 0.01)
    ours, theirs = ({n: p.grad for n, p in network.named_parameters()} for network in networks)
    for name, grad in theirs.items():
        torch.testing.assert_close(ours[name], grad, rtol=1e-5, atol=1e-9)
