"""Two streams: the grid, the exact inverse, and the gradients of ordinary autograd."""

import pytest
import torch
from helpers import excite, gradients

from trevsnn.layers import BlockTail, SpikingBranch, TwoStreams
from trevsnn.layers.two_stream import LIMIT, MOST_BLOCKS, STEP, on_grid

CHANNELS = 6


def build(blocks=3, dtype=torch.float32, drop_path=0.0, seed=0):
    """A chain of excited branches; the odd blocks have a tail without gamma."""
    torch.manual_seed(seed)
    tails = [BlockTail(CHANNELS // 2, 3) if i % 4 > 1 else None for i in range(2 * blocks)]
    return excite(TwoStreams([SpikingBranch(CHANNELS // 2, 3, tail, drop_path) for tail in tails])).to(dtype)


def values(spread=1.0, dtype=torch.float32, size=(3, CHANNELS, 6, 5), seed=1):
    return (spread * torch.randn(size, generator=torch.Generator().manual_seed(seed))).to(dtype)


def run(chain, x, invert, autocast=None):
    """The output, and gradients of a loss to which every element contributes with another weight."""
    chain.invert = invert
    chain.zero_grad()
    x = x.detach().clone().requires_grad_()
    torch.manual_seed(2)
    with torch.autocast("cpu", autocast or torch.bfloat16, enabled=autocast is not None):
        weights = [weight for branch in chain for weight in branch.weights()]
        y = chain(x, weights, [branch.branch_scale(x) for branch in chain])
    (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)).sum().backward()
    return y.detach(), gradients(chain, [x])


def bits(x):
    return x.contiguous().view(torch.int32 if x.dtype == torch.float32 else torch.int64)


def sources_seen(chain, x):
    """What every branch receives in the forward pass, and what in the backward pass, each in the chain's order."""
    seen = {id(branch): [] for branch in chain}
    handles = [
        branch.register_forward_pre_hook(lambda m, inputs: seen[id(m)].append(inputs[0].detach().clone()))
        for branch in chain
    ]
    y, _ = run(chain, x, invert=True)
    for handle in handles:
        handle.remove()
    assert all(len(calls) == 2 for calls in seen.values())
    return y, *zip(*seen.values(), strict=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_grid(dtype):
    x = torch.tensor([0.3, -0.3, 0.5 * STEP, 1.5 * STEP, -1e-9, 31.99999, 40, -1e30, 3e38]).to(dtype)
    expected = torch.tensor([1229, -1229, 0, 2, 0, 131072, 131072, -131072, 131072]).to(dtype) * STEP
    assert torch.equal(bits(on_grid(x)), bits(expected)), "and 0 is never -0"
    assert on_grid(torch.tensor([torch.inf, -torch.inf, torch.nan], dtype=dtype)).isnan().all()
    assert on_grid(x.bfloat16()).dtype == torch.float32
    x.requires_grad_()
    on_grid(x).backward(torch.arange(9.0).to(dtype))
    assert torch.equal(x.grad, torch.arange(9.0).to(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("spread", [0.5, 10.0, 1e3])
@pytest.mark.parametrize("blocks", [1, 4])
def test_the_inverse_has_the_identical_bits(blocks, spread, dtype):
    """Far beyond saturation too, and with branches that are as large as x."""
    chain, x = build(blocks, dtype), values(spread, dtype)
    for branch in chain:
        branch.tail.depthwise.weight.data *= spread
    _, forwards, backwards = sources_seen(chain, x)
    assert all(torch.equal(bits(a), bits(b)) for a, b in zip(forwards, backwards, strict=True))
    assert torch.equal(bits(forwards[0]), bits(on_grid(x)[:, CHANNELS // 2 :]))


@pytest.mark.parametrize(("blocks", "exact"), [(MOST_BLOCKS, True), (MOST_BLOCKS + 1, False)])
def test_the_most_blocks_are_invertible_and_one_more_is_not(blocks, exact):
    """The finest grid value under the limit, to which every branch adds the limit."""
    chain, x = build(blocks), torch.full((1, CHANNELS, 1, 1), LIMIT - STEP)
    for branch in chain:
        branch.tail.depthwise.bias.data.fill_(1e4)
    y, forwards, backwards = sources_seen(chain, x)
    assert y.double().max().item() == pytest.approx((blocks + 1) * LIMIT - exact * STEP, abs=STEP / 2)
    assert all(torch.equal(a, b) for a, b in zip(forwards, backwards, strict=True)) == exact


@pytest.mark.parametrize(
    ("options", "autocast"),
    [
        ({}, None),
        ({"blocks": 1}, None),
        ({"dtype": torch.float64}, None),
        ({"drop_path": 0.4}, None),
        ({}, torch.bfloat16),
        ({}, torch.float16),
        ({"drop_path": 0.4}, torch.bfloat16),
        ({"dtype": torch.bfloat16}, None),
    ],
    ids=str,
)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("size", [(3, CHANNELS, 6, 5), (1, CHANNELS, 1, 1)], ids=str)
def test_inverting_changes_no_gradient(options, autocast, channels_last, size):
    chain, x = build(**options), values(dtype=options.get("dtype", torch.float32), size=size)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    (expected, kept), (actual, inverted) = (run(chain, x, invert, autocast) for invert in (False, True))
    assert expected.dtype == x.dtype
    assert torch.equal(actual, expected)
    assert any(grad.any() for grad in kept.values())
    assert all(torch.equal(inverted[name], kept[name]) for name in kept)


def test_a_chain_without_branches_is_the_identity():
    x = values()
    assert TwoStreams([])(x, [], []) is x


def test_frozen_weights_have_no_gradient_and_the_others_the_same():
    chain = build()
    for i, p in enumerate(chain.parameters()):
        p.requires_grad_(i % 3 == 0)
    (_, kept), (_, inverted) = (run(chain, values(), invert) for invert in (False, True))
    for name, grad in kept.items():
        assert grad is inverted[name] is None or torch.equal(grad, inverted[name])
    assert any(grad is None for grad in kept.values())


def test_what_the_inverse_cannot_do_is_refused():
    chain, x = build(), values().requires_grad_()
    chain.invert = True
    weights = [weight.detach().requires_grad_() for branch in chain for weight in branch.weights()]
    loss = chain(x, weights, [None] * len(chain)).square().sum()
    (grad,) = torch.autograd.grad(loss, x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()
    with torch.no_grad():
        weights[1].add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
