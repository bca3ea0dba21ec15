"""The ways to the gradient of one step's decay: see `trevsnn.reversible.decay` for the mathematics.

Each is used by the node of the graph at the end of a cell (`trevsnn.reversible.nodes`), where f is known.
"""

from typing import Protocol

import torch
from torch import Tensor

from trevsnn.reversible.decay import Anchor, per_channel
from trevsnn.reversible.shadow import Shadow, channels_at_end


class DecayGradient(Protocol):
    """A way to the gradient of one step's decay, in that step's turn of the backward pass.

    A buffer of all samples comes in from the step after and goes out to the step before.
    """

    needs_f: bool
    """Whether f must be made for it even where no gradient reaches f."""
    grad_alpha: Tensor | None
    """(C,), after all samples have been seen."""

    def __init__(self, alpha: Tensor, later: Tensor | None, anchor: Anchor | None): ...

    @staticmethod
    def token(f: Tensor) -> Tensor:
        """A zero of the shape of the buffer, that takes no memory."""
        ...

    def see(self, f: Tensor, g: Tensor | None, part: slice) -> None:
        """f of a part of the samples, and theirs of g, the gradient of f (None: 0)."""
        ...

    def earlier(self, g: Tensor | None) -> Tensor | None:
        """The buffer for the step before, after all samples have been seen."""
        ...


class Exchanged:
    """For one alpha shared by all steps: the buffer is G[t], and dL/d alpha gains <f[t], G[t]>.

    Args:
        alpha: (C,) or ().
        later: G[t], None at the last step.
        anchor: none.
    """

    def __init__(self, alpha: Tensor, later: Tensor | None, anchor: Anchor | None):
        self.alpha = alpha
        self.later = later
        self.grad_alpha: Tensor | None = None
        self.needs_f = later is not None

    @staticmethod
    def token(f: Tensor) -> Tensor:
        return f.new_zeros(()).expand(f.shape)

    def see(self, f: Tensor, g: Tensor | None, part: slice) -> None:
        if self.later is not None:
            self.grad_alpha = _plus(self.grad_alpha, _channel_product(f, self.later[part]))

    def earlier(self, g: Tensor | None) -> Tensor | None:
        if self.later is None:
            return g
        earlier = per_channel(self.alpha, self.later.dim()) * self.later
        return earlier if g is None else earlier.add_(g)


class Reconstructed:
    """For an alpha of its own: the buffer is the shadow of h[t], written over by that of h[t-1].

    Args:
        alpha: (C,) or ().
        later: data of the shadow.
        anchor: what was kept of the shadow of h[t-1].
    """

    needs_f = True

    def __init__(self, alpha: Tensor, later: Tensor | None, anchor: Anchor | None):
        if later is None:
            raise RuntimeError(
                "the membrane potential of a later step is unknown in this backward pass: compute the loss "
                "from what the grid returns, or use memory='stored'"
            )
        self.alpha = alpha
        self.data = later
        self.anchor = anchor
        self.grad_alpha: Tensor | None = None

    @staticmethod
    def token(f: Tensor) -> Tensor:
        return Shadow.token(f)

    def see(self, f: Tensor, g: Tensor | None, part: slice) -> None:
        f = channels_at_end(f)
        shadow = Shadow(self.data, f.shape[1:])
        h = shadow.read(part).sub_(f).div_(self.alpha)
        if self.anchor is not None:
            kept = Shadow(self.anchor.data, torch.Size([*f.shape[1:-1], len(self.anchor.channels)]))
            h.index_copy_(-1, self.anchor.channels, kept.read(part))
        shadow.write(part, h)
        if g is not None:
            self.grad_alpha = _plus(self.grad_alpha, _channel_product(g, h.to(g.dtype).movedim(-1, 1)))

    def earlier(self, g: Tensor | None) -> Tensor:
        return self.data


class Fixed:
    """For a decay that is not learned: no gradient and no buffer."""

    needs_f = False
    grad_alpha: Tensor | None = None

    def __init__(self, alpha: Tensor, later: Tensor | None, anchor: Anchor | None):
        pass

    token = staticmethod(Exchanged.token)

    def see(self, f: Tensor, g: Tensor | None, part: slice) -> None:
        pass

    def earlier(self, g: Tensor | None) -> None:
        return None


def _plus(total: Tensor | None, term: Tensor) -> Tensor:
    return term if total is None else total + term


def _channel_product(a: Tensor, b: Tensor) -> Tensor:
    """<a, b> of each channel, shape (C,)."""
    return (a * b).sum(dim=[d for d in range(a.dim()) if d != 1])
