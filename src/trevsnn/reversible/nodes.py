"""The nodes of the graph of one level's step in `"reversible"`, beside the cell's own.

In the order in which they run forwards; backwards they run from the last to the first:

    LeakGradient   the way back of h[t-1]'s gradient, made before the cell so that it runs after it
    the cell       runs again in the backward pass (`trevsnn.reversible.replay`)
    Tap            the end of the cell: f[t], and the decay's gradient from it (`trevsnn.reversible.decay_gradient`)
    Leak           h[t] = alpha[t] * h[t-1] + f[t]
    Encode         the codes of the spikes, which Decode reads (`trevsnn.reversible.codes`)

and after the last step Release, from which the reconstruction of the potentials starts. docs/engine.md has a picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from trevsnn.neurons import same_autocast
from trevsnn.reversible.decay import Anchor, leak, per_channel
from trevsnn.reversible.decay_gradient import DecayGradient
from trevsnn.reversible.guard import Fingerprint, check
from trevsnn.reversible.slices import Sliced


class Leak(Function):
    """`leak` as two nodes, so that the gradient of h[t-1] is made only after cell t has run backwards.

    Inputs f, `LeakGradient`'s output, and h[t-1] and alpha (both without gradient).
    """

    @staticmethod
    def forward(ctx, f, way_back, previous, alpha):
        ctx.set_materialize_grads(False)
        return leak(alpha, previous, f)

    @staticmethod
    def backward(ctx, g):
        return g, g, None, None


class LeakGradient(Function):
    """The way back of a leak's gradient to h[t-1]: a zero of its shape that takes no memory.

    To be applied before cell t: autograd runs what was made later first. Were it otherwise, the gradients would be the
    same and the memory more.
    """

    @staticmethod
    def forward(ctx, previous, alpha):
        ctx.save_for_backward(alpha)
        ctx.set_materialize_grads(False)
        return previous.new_zeros(()).expand(previous.shape)

    @staticmethod
    def backward(ctx, g):
        (alpha,) = ctx.saved_tensors
        return None if g is None else g * per_channel(alpha, g.dim()), None


def tap(
    f: Tensor | Sliced,
    decay: Tensor,
    token: Tensor | None,
    anchor: Anchor | None = None,
    *,
    kind: type[DecayGradient],
    replaying: bool = False,
    compared: str | None = None,
) -> tuple[Tensor, Tensor]:
    """f as a tensor, tapped in the backward pass for the gradient of the decay, and the token for the next step.

    Args:
        f: what the cell returned: of a `Sliced` what remains of the cell runs here, and again in the backward pass.
        decay: of this step.
        token: from the step before, None where nothing earlier needs one.
        anchor: of this step.
        kind: of the decay's gradient.
        replaying: nobody will read f: it was computed before.
        compared: the name of the cell if its rest is compared with the first run.
    """
    rest, tensors = (f, (*f.samples, *f.shared)) if isinstance(f, Sliced) else (None, (f,))
    settings = _Settings(kind=kind, rest=rest, replaying=replaying, compared=compared)
    return _Tap.apply(settings, decay, token, *(anchor or (None, None)), *tensors)


@dataclass(frozen=True, kw_only=True)
class _Settings:
    kind: type[DecayGradient]
    rest: Sliced | None
    replaying: bool
    compared: str | None


class _Tap(Function):
    """See `tap`. Inputs: settings, decay, token, the anchor's data and channels, then f or the tensors of the rest."""

    @staticmethod
    def forward(ctx, settings, decay, token, anchor_data, anchor_channels, *tensors):
        rest = settings.rest
        ctx.save_for_backward(decay, anchor_data, anchor_channels, *tensors)
        ctx.set_materialize_grads(False)
        ctx.kind = settings.kind
        ctx.rest = rest and (rest.body, len(rest.samples), rest.size)  # its tensors are the saved ones
        ctx.autocast = same_autocast(decay.device.type)
        ctx.called, ctx.first = settings.compared, None
        if settings.replaying:
            return decay.new_zeros(()), decay.new_zeros(())
        f = rest.run_without_graph() if rest else tensors[0].view_as(tensors[0])
        if rest and settings.compared:
            ctx.first = Fingerprint.of(f)
        return f, settings.kind.token(f)

    @staticmethod
    @once_differentiable
    def backward(ctx, g, later):
        decay, anchor_data, anchor_channels, *tensors = ctx.saved_tensors
        _, needs_decay, needs_token, _, _, *needed = ctx.needs_input_grad
        anchor = None if anchor_data is None else Anchor(anchor_data, anchor_channels)
        gradient: DecayGradient = ctx.kind(decay, later, anchor)
        if ctx.rest is None:
            gradient.see(tensors[0], g, slice(None))
            grads: Sequence[Tensor | None] = [g]
        else:
            body, count, size = ctx.rest
            rest = Sliced(body, tensors[:count], tensors[count:], size)
            with ctx.autocast():
                grads = _run_again(rest, g, needed, gradient, ctx.first, ctx.called)
        grad_decay = gradient.grad_alpha if needs_decay else None
        if grad_decay is not None:
            grad_decay = grad_decay.sum_to_size(decay.shape).to(decay.dtype)
        return None, grad_decay, gradient.earlier(g) if needs_token else None, None, None, *grads


def _run_again(
    rest: Sliced,
    g: Tensor | None,
    needed: Sequence[bool],
    gradient: DecayGradient,
    first: Fingerprint | None,
    name: str,
) -> Sequence[Tensor | None]:
    """The gradients of a cell's rest, which `gradient` sees run again, slice by slice."""
    prints: list[Fingerprint] = []

    def see(f: Tensor, part: slice) -> None:
        gradient.see(f, None if g is None else g[part], part)
        if first is not None:
            prints.insert(0, Fingerprint.of(f, part.start or 0))  # the last slice comes first

    grads: Sequence[Tensor | None] = [None] * len(needed)
    if g is not None:
        grads = rest.backward(g, needed, see)
    elif gradient.needs_f:
        see(rest.run_without_graph(), slice(None))
    if first is not None and prints:
        check(first, reduce(Fingerprint.plus, prints), name)
    return grads


class Release(Function):
    """Identity on the outputs of the grid that starts the reconstruction in the backward pass.

    `Release.apply(n, *outputs, *tokens, *shadows)`: n outputs, then one token per reconstructed level and the data of
    that level's shadow of the last step, a copy of which becomes the token's "gradient" whichever output the loss uses.
    """

    @staticmethod
    def forward(ctx, n, *tensors):
        ctx.levels = (len(tensors) - n) // 2
        ctx.save_for_backward(*tensors[n + ctx.levels :])
        ctx.set_materialize_grads(False)
        return tuple(output.view_as(output) for output in tensors[:n])

    @staticmethod
    def backward(ctx, *grads):
        copies = (shadow.clone() for shadow in ctx.saved_tensors)  # they are written over
        return (None, *grads, *copies, *(None for _ in range(ctx.levels)))
