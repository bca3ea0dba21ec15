"""The end of a replayed cell: what remains of it runs again here, and the decay's gradient is tapped from it.

See `trevsnn.reversible.decay` for the mathematics and the tokens.
"""

from functools import reduce

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from trevsnn.neurons import same_autocast
from trevsnn.reversible.decay import per_channel
from trevsnn.reversible.guard import Fingerprint, check
from trevsnn.reversible.shadow import Shadow, channels_at_end
from trevsnn.reversible.slices import Sliced


class Collect:
    """For one alpha shared by all steps: the token's gradient is G[t], and dL/d alpha gains <f[t], G[t]>.

    Args:
        alpha: (C,) or ().
        later: G[t], None at the last step.
    """

    def __init__(self, alpha: Tensor, later: Tensor | None, *_no_anchor: None):
        self.alpha, self.later = alpha, later
        self.grad_alpha: Tensor | None = None
        self.needs_f = later is not None

    @staticmethod
    def token(f: Tensor) -> Tensor:
        """A zero of the shape that the token's gradient will have."""
        return f.new_zeros(()).expand(f.shape)

    def see(self, f: Tensor, g: Tensor | None, samples: slice) -> None:
        """f of some samples, and their part of g (None: 0)."""
        if self.later is not None:
            self.grad_alpha = _plus(self.grad_alpha, _channel_product(f, self.later[samples]))

    def earlier(self, g: Tensor | None) -> Tensor | None:
        """G[t-1], after all samples have been seen."""
        if self.later is None:
            return g
        earlier = per_channel(self.alpha, self.later.dim()) * self.later
        return earlier if g is None else earlier.add_(g)


class Reconstruct:
    """For an alpha of its own: the token's gradient is the shadow of h[t], written over by that of h[t-1].

    Args:
        alpha: (C,) or ().
        later: data of the shadow.
        anchor, channels: data of the shadow of h[t-1] of these channels alone (both None: none).
    """

    needs_f = True

    def __init__(self, alpha: Tensor, later: Tensor | None, anchor: Tensor | None, channels: Tensor | None):
        if later is None:
            raise RuntimeError(
                "the membrane potential of a later step is unknown in this backward pass: compute the loss "
                "from what the grid returns, or use memory='stored'"
            )
        self.alpha, self.data = alpha, later
        self.anchor, self.channels = anchor, channels
        self.grad_alpha: Tensor | None = None

    @staticmethod
    def token(f: Tensor) -> Tensor:
        """A zero of the shape that the token's gradient will have."""
        return Shadow.token(f)

    def see(self, f: Tensor, g: Tensor | None, samples: slice) -> None:
        """f of some samples, and their part of g (None: 0)."""
        f = channels_at_end(f)
        shadow = Shadow(self.data, f.shape[1:])
        h = shadow.read(samples).sub_(f).div_(self.alpha)
        if self.anchor is not None and self.channels is not None:
            anchor = Shadow(self.anchor, torch.Size([*f.shape[1:-1], len(self.channels)]))
            h.index_copy_(-1, self.channels, anchor.read(samples))
        shadow.write(samples, h)
        if g is not None:
            self.grad_alpha = _plus(self.grad_alpha, _channel_product(g, h.to(g.dtype).movedim(-1, 1)))

    def earlier(self, g: Tensor | None) -> Tensor:
        """The shadow's data after all samples have been seen: h[t-1]."""
        return self.data


class _NoTap:
    """For a decay that is not learned."""

    needs_f = False
    grad_alpha = None

    token = Collect.token

    def __init__(self, *_):
        pass

    def see(self, f: Tensor, g: Tensor | None, samples: slice) -> None:
        pass

    def earlier(self, g: Tensor | None) -> None:
        return None


class Tap(Function):
    """f = rest.run(), or f itself, tapped for the gradient of the decay.

    Inputs: `kind` of the tap (None for a decay that is not learned), `rest` of the cell (None where f is given),
    `replaying` (nobody will read f: it was computed before), the name of the cell whose rest is compared with its
    first run (None: it is not), the decay, the token of the step before (None where nothing earlier needs one), the
    anchor and its channels (or None), then f or the tensors of `rest`. Returns f and the token for the next step.
    """

    @staticmethod
    def forward(ctx, kind, rest, replaying, name, decay, token, anchor, channels, *tensors):
        ctx.save_for_backward(decay, anchor, channels, *tensors)
        ctx.set_materialize_grads(False)
        ctx.kind = kind or _NoTap
        ctx.rest = rest and (rest.body, len(rest.samples), rest.size)
        ctx.autocast = same_autocast(decay.device.type)
        ctx.called, ctx.first = name, None
        if replaying:
            return decay.new_zeros(()), decay.new_zeros(())
        f = rest.run_without_graph() if rest else tensors[0].view_as(tensors[0])
        if rest and name:
            ctx.first = Fingerprint.of(f)
        return f, ctx.kind.token(f)

    @staticmethod
    @once_differentiable
    def backward(ctx, g, later):
        decay, anchor, channels, *tensors = ctx.saved_tensors
        tap = ctx.kind(decay, later, anchor, channels)
        if ctx.rest is None:
            tap.see(tensors[0], g, slice(None))
            grads = [g]
        else:
            body, count, size = ctx.rest
            rest = Sliced(body, tensors[:count], tensors[count:], size)
            prints: list[Fingerprint] = []

            def see(f: Tensor, part: slice) -> None:
                tap.see(f, None if g is None else g[part], part)
                if ctx.first is not None:
                    prints.insert(0, Fingerprint.of(f, part.start or 0))  # the last slice comes first

            with ctx.autocast():
                if g is not None:
                    grads = rest.backward(g, ctx.needs_input_grad[8:], see)
                else:
                    grads = [None] * len(tensors)
                    if tap.needs_f:
                        see(rest.run_without_graph(), slice(None))
            if prints:
                check(ctx.first, reduce(Fingerprint.plus, prints), ctx.called)
        grad_decay = tap.grad_alpha
        if grad_decay is not None:
            grad_decay = grad_decay.sum_to_size(decay.shape).to(decay.dtype) if ctx.needs_input_grad[4] else None
        token = tap.earlier(g) if ctx.needs_input_grad[5] else None
        return None, None, None, None, grad_decay, token, None, None, *grads


def _plus(total: Tensor | None, term: Tensor) -> Tensor:
    return term if total is None else total + term


def _channel_product(a: Tensor, b: Tensor) -> Tensor:
    """<a, b> of each channel, shape (C,)."""
    return (a * b).sum(dim=[d for d in range(a.dim()) if d != 1])
