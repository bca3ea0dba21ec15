"""Two streams: a chain of residual branches that can be run backwards, exactly.

The C channels of x are split into halves x1 and x2, and every block of the chain is a pair of branches F and G on C/2
channels (see `trevsnn.layers.block`):

    y1 = x1 + F(x2)        x2 = y2 - G(y1)
    y2 = x2 + G(y1)        x1 = y1 - F(x2)        x: (N, C, H, W)

So the inputs of a block follow from its outputs, and nothing needs to be kept of it. In floating point (x1 + f) - f is
not x1, and a difference in the last bit moves a neuron over its threshold. Therefore the streams live on a fixed-point
grid: x and the result of every branch are rounded to multiples of STEP = 2^-12 and saturate at LIMIT = 32. After n
blocks a stream is at most 32 (n + 1), which MOST_BLOCKS keeps within 4096 = 2^24 steps. All integers up to 2^24
are exact in float32, so every sum is, and its difference returns the identical bits. A step is 1/2048 of the threshold.

Streams are float32, or float64 in a network of float64; branches may be computed in less.

Source of the two streams: Gomez et al., "The Reversible Residual Network: Backpropagation Without Storing
Activations", NeurIPS 2017.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from trevsnn.layers.contract import Branch
from trevsnn.neurons import same_autocast

STEP = 2.0**-12
LIMIT = 32.0
MOST_BLOCKS = int(2**24 * STEP / LIMIT) - 1


class TwoStreams(nn.ModuleList):
    """The chain, (N, C, H, W) -> (N, C, H, W). Without branches it is the identity.

    Args:
        branches: on C/2 channels, of one kind: F and G of the first block, F and G of the second, ...
        invert: compute the inputs of the blocks from their outputs in the backward pass, in place of keeping what
            the operators save. The gradients are the same, bit for bit, but cannot be differentiated again.
    """

    def __init__(self, branches: Iterable[Branch], invert: bool = False):
        super().__init__(branches)  # type: ignore[arg-type]
        self.invert = invert

    def forward(self, x: Tensor, weights: Sequence[Tensor], scales: Sequence[Tensor | None]) -> Tensor:
        """Args: what `weights` of all branches returns, one after the other, and `branch_scale` of each."""
        if not weights:
            return x
        run = _inverted if self.invert else _run
        streams = run(self, [on_grid(half) for half in x.chunk(2, dim=1)], weights, scales)  # type: ignore[call-arg]
        return torch.cat(streams, dim=1).to(weights[0].dtype)


def on_grid(x: Tensor) -> Tensor:
    """x rounded to multiples of STEP, at most LIMIT in size, in float32 at least; its gradient is passed on as it is.

    What is not finite becomes NaN: saturation must not hide it.
    """
    return _OnGrid.apply(x.to(torch.promote_types(x.dtype, torch.float32)))


class _OnGrid(Function):
    @staticmethod
    def forward(ctx, x):
        zero = x - x  # NaN where x is not finite; and it makes 0 of -0
        return zero.add_((x / STEP).round_().mul_(STEP).clamp_(-LIMIT, LIMIT))

    @staticmethod
    def backward(ctx, grad):
        return grad


def _branch(
    branches: TwoStreams, i: int, streams: Sequence[Tensor], weights: Sequence[Tensor], scales: Sequence[Tensor | None]
) -> Tensor:
    """What branch i, which reads the stream that it is not added to, adds."""
    own = _own(branches, i, weights)
    return on_grid(branches[i](streams[1 - i % 2].to(own[0].dtype), own, scales[i]))


def _own(branches: TwoStreams, i: int, weights: Sequence[Tensor]) -> Sequence[Tensor]:
    """Those of branch i; all have as many."""
    count = len(weights) // len(branches)
    return weights[i * count : (i + 1) * count]


def _run(
    branches: TwoStreams, streams: Sequence[Tensor], weights: Sequence[Tensor], scales: Sequence[Tensor | None]
) -> list[Tensor]:
    """The streams after all branches."""
    streams = list(streams)
    for i in range(len(branches)):
        streams[i % 2] = streams[i % 2] + _branch(branches, i, streams, weights, scales)
    return streams


@torch.compiler.disable  # two compiled forms of one function need not give the same bits
def _inverted(
    branches: TwoStreams, streams: Sequence[Tensor], weights: Sequence[Tensor], scales: Sequence[Tensor | None]
) -> list[Tensor]:
    return list(_Inverted.apply(branches, *streams, *scales, *weights))


class _Inverted(Function):
    """The streams y1, y2 after a chain of branches; of the chain, y1 and y2 are all that is kept.

    The backward pass goes through the branches from the last to the first. Of y2 = x2 + G(y1) it computes G(y1) again,
    as a graph, then x2 = y2 - G(y1), and the gradients

        d y1 += dG/dy1 d y2        d weights of G = dG/dw d y2        d x2 = d y2

    and so on with x2 as the output of the branch before. One branch at a time has its intermediate results in memory,
    whatever the length of the chain. All of it is exact: the sums have no rounding (see the module), so x2 has the
    bits and strides that it had in the forward pass, and the graph of each branch is the one that autograd would have
    kept.

    Inputs: the branches, x1, x2, a scale per branch (or None; without gradient), then the weights.
    """

    @staticmethod
    def forward(ctx, branches, x1, x2, *scales_and_weights):
        scales = scales_and_weights[: len(branches)]
        weights = scales_and_weights[len(branches) :]
        streams = _run(branches, [x1, x2], weights, scales)
        ctx.save_for_backward(*streams, *scales_and_weights)
        ctx.branches = branches
        ctx.autocast = same_autocast(x1.device.type)
        return tuple(streams)

    @staticmethod
    @once_differentiable
    def backward(ctx, *grads_of_streams):
        branches, grads = ctx.branches, list(grads_of_streams)
        y1, y2, *rest = ctx.saved_tensors
        streams = [y1, y2]
        scales = rest[: len(branches)]
        weights = rest[len(branches) :]
        del y1, y2
        needed = ctx.needs_input_grad[3 + len(branches) :]
        leaves = [w.detach().requires_grad_(need) for w, need in zip(weights, needed, strict=True)]
        of_weights: dict[Tensor, Tensor] = {}
        for i in reversed(range(len(branches))):
            to, source = i % 2, 1 - i % 2
            x = streams[source] = streams[source].detach().requires_grad_()
            wanted = [w for w in _own(branches, i, leaves) if w.requires_grad]
            with torch.enable_grad(), ctx.autocast():
                branch = _branch(branches, i, streams, leaves, scales)
            streams[to] = streams[to] - branch.detach()
            of_x, *found = torch.autograd.grad(branch, [x, *wanted], grads[to])
            grads[source] = grads[source] + of_x
            of_weights.update(zip(wanted, found, strict=True))
        return None, *grads, *[None] * len(branches), *(of_weights.get(w) for w in leaves)
