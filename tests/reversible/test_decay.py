"""The decay's parts on their own: the update, the anchors, and the two taps against autograd in float64."""

import itertools

import pytest
import torch
from tolerances import assert_close

from trevsnn.reversible.decay import MAX_ERROR, Anchor, anchor_channels, leak, per_channel
from trevsnn.reversible.decay_gradient import Exchanged, Reconstructed
from trevsnn.reversible.nodes import Release, tap
from trevsnn.reversible.shadow import Shadow, channels_at_end


def rows(timesteps, *values):
    return [torch.tensor(values) for _ in range(timesteps)]


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 4, 5), (2, 3, 4, 5, 6)])
def test_leak_multiplies_each_channel_by_its_decay(shape):
    alpha, previous, f = torch.tensor([0.5, 0.0, -2.0]), torch.randn(shape), torch.randn(shape)
    h = leak(alpha, previous, f)
    for c, value in enumerate(alpha):
        torch.testing.assert_close(h[:, c], value * previous[:, c] + f[:, c])
    assert per_channel(alpha, len(shape)).shape == (3, *[1] * (len(shape) - 2))


def test_cells_that_change_their_shape_over_time_are_refused():
    with pytest.raises(ValueError, match=r"one shape at every step: \(2, 3, 1, 1\) follows \(2, 3, 4, 4\)"):
        leak(torch.ones(3), torch.ones(2, 3, 4, 4), torch.ones(2, 3, 1, 1))


def test_nothing_leaks_into_the_first_step():
    f = torch.randn(2, 3)
    first = leak(torch.ones(3), None, f)
    assert torch.equal(first, f)
    assert first is not f, "its cell may change f"


def test_only_decays_of_zero_are_always_anchored():
    anchors = anchor_channels(rows(8, 1.0, 0.5, 0.0, -1.0, 1.1), torch.float32)
    assert anchors[0] is None
    assert all(channels.tolist() == [2] for channels in anchors[1:])


def test_half_precision_potentials_are_anchored_in_every_channel():
    for dtype in (torch.bfloat16, torch.float16):
        assert all(channels.tolist() == [0, 1] for channels in anchor_channels(rows(5, 1.0, 0.5), dtype)[2:])


@pytest.mark.parametrize("alpha", [1.0, 0.9, 0.5, -0.5, 0.3, 0.1, 0.01, 1e-3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_reconstruction_is_further_from_the_truth_than_the_bound(alpha, dtype):
    """The reconstructed h against the true one, in roundings of the largest h, for a run of unit noise."""
    timesteps, width = 64, 4000
    anchors = anchor_channels([torch.full((1,), alpha)] * timesteps, dtype)
    decay = torch.tensor([alpha], dtype=dtype)
    f = torch.randn(timesteps, width, 1, dtype=dtype, generator=torch.Generator().manual_seed(0))
    true, kept, h, shadow, every = [], {}, None, Shadow.like(f[0]), slice(None)
    shadow.write(every, torch.zeros(width, 1, dtype=torch.float64))
    for t in range(timesteps):
        if anchors[t] is not None:
            kept[t] = shadow.read(every)
            shadow.write(every, h.double())
        h = leak(decay, h, f[t])
        shadow.write(every, shadow.read(every).mul_(decay).add_(f[t]))
        true.append(h.double())
    rounding = torch.stack(true).square().mean((1, 2)).max().sqrt() * torch.finfo(dtype).eps / 12**0.5
    for t in range(timesteps - 1, 0, -1):
        shadow.write(every, kept.get(t, (shadow.read(every) - f[t]) / decay))
        error = (shadow.read(every) - true[t - 1]).square().mean().sqrt()
        assert error <= 2**0.5 * MAX_ERROR * rounding, "the bound holds for each of two errors"


@pytest.mark.parametrize(("alpha", "steps"), [(1.0, 27), (0.9, 64), (0.5, 17), (0.1, 5), (0.01, 3), (1e-3, 2)])
def test_an_anchor_serves_so_many_steps(alpha, steps):
    anchored = [t for t, channels in enumerate(anchor_channels(rows(64, alpha), torch.float32)) if channels is not None]
    assert max(later - earlier for earlier, later in itertools.pairwise([0, *anchored, 64])) == steps


def test_one_step_needs_no_anchor():
    assert anchor_channels(rows(1, 0.0, 0.5), torch.float32) == [None]


def reference_gradients(f, alphas, weights):
    """Gradients of sum_t <weights[t], h[t]> by autograd through the stored recurrence."""
    f, alphas = ([x.clone().requires_grad_() for x in xs] for xs in (f, alphas))
    h, loss = 0.0, 0.0
    for x, alpha, weight in zip(f, alphas, weights, strict=True):
        h = alpha.view(1, -1, 1) * h + x
        loss = loss + (weight * h.sin()).sum()
    loss.backward()
    return [x.grad for x in f], [alpha.grad for alpha in alphas]


def shadow_of(h):
    shadow = Shadow.like(h)
    shadow.write(slice(None), channels_at_end(h.detach()))
    return shadow.data


def random_run(timesteps, alpha):
    torch.manual_seed(0)
    f, weights = (torch.randn(timesteps, 2, 3, 4, dtype=torch.float64) for _ in range(2))
    return f, alpha * (1 + 0.1 * torch.rand(timesteps, 3, dtype=torch.float64)), weights


@pytest.mark.parametrize("timesteps", [1, 2, 3, 9])
@pytest.mark.parametrize("alpha", [1.0, 0.5, 1e-3, 0.0, -0.3])
def test_the_shared_tap_collects_the_gradient_without_potentials(alpha, timesteps):
    f, alphas, weights = random_run(timesteps, alpha)
    expected_f, expected = reference_gradients(f, alphas[:1].expand(timesteps, 3), weights)
    f, alpha = [x.clone().requires_grad_() for x in f], alphas[0].clone().requires_grad_()
    h, token, loss = None, None, 0.0
    for x, weight in zip(f, weights, strict=True):
        x, token = tap(x, alpha, token, kind=Exchanged)
        h = leak(alpha.detach(), h, x)
        loss = loss + (weight * h.sin()).sum()
    loss.backward()
    pairs = zip(f, expected_f, strict=True)
    for x, e in pairs:
        assert_close(x.grad, e, "reference")
    if timesteps > 1:
        assert_close(alpha.grad, sum(expected), "reference")


@pytest.mark.parametrize("alpha", [1.0, 0.5, 1e-3, 0.0, -0.3])
@pytest.mark.parametrize("timesteps", [3, 9])
def test_the_step_tap_gives_the_gradient_of_every_step_from_reconstructed_potentials(timesteps, alpha):
    f, alphas, weights = random_run(timesteps, alpha)
    expected_f, expected = reference_gradients(f, alphas, weights)
    anchors = anchor_channels(list(alphas), torch.float64)
    f, alphas = ([x.clone().requires_grad_() for x in xs] for xs in (f, alphas))
    h, token, loss = f[0], None, (weights[0] * f[0].sin()).sum()
    for t in range(1, timesteps):
        channels = anchors[t]  # in float64 h is its own shadow
        anchor = None if channels is None else Anchor(shadow_of(h[:, channels]), channels)
        x, token = tap(f[t], alphas[t], token, anchor, kind=Reconstructed)
        h = leak(alphas[t].detach(), h, x)
        loss = loss + (weights[t] * h.sin()).sum()
    (loss,) = Release.apply(1, loss, token, shadow_of(h))
    loss.backward()
    pairs = zip(f, expected_f, strict=True)
    for x, e in pairs:
        assert_close(x.grad, e, "reference")
    for t in range(1, timesteps):
        assert_close(alphas[t].grad, expected[t], "reconstructed")


def test_a_gradient_that_bypasses_the_release_is_an_error():
    f, alpha = torch.ones(1, 2, requires_grad=True), torch.ones(2, requires_grad=True)
    x, _ = tap(f, alpha, None, kind=Reconstructed)
    with pytest.raises(RuntimeError, match="compute the loss from what the grid returns"):
        x.sum().backward()


def test_release_passes_outputs_and_their_gradients_on_and_feeds_the_tokens():
    a, b = (torch.randn(2, 3, requires_grad=True) for _ in range(2))
    token, final = torch.zeros(4, requires_grad=True), torch.randn(4)
    out = Release.apply(2, a, b, token, final)
    assert torch.equal(out[0], a)
    assert torch.equal(out[1], b)
    (out[1] * 3).sum().backward()
    assert a.grad is None
    assert torch.equal(b.grad, torch.full((2, 3), 3.0))
    assert torch.equal(token.grad, final)
