"""Convolutions in two steps, so that the first is done once however many slices of the batch follow.

`weights()` makes the weight and bias as they are applied; `conv(x, *weights)` applies them. `conv(x)` does both.
"""

from functools import partial

import torch
from timm.layers import ScaledStdConv2d
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import batch_norm, conv2d
from torch.nn.grad import conv2d_input

from trevsnn.neurons import cheap


class Convolution(nn.Conv2d):
    """A convolution with bias."""

    def weights(self) -> tuple[Tensor, Tensor]:
        """Weight and bias."""
        assert self.bias is not None, "made with one"
        return self.weight, self.bias

    def forward(self, x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        if weight is None:
            weight, bias = self.weights()
        device = x.device.type
        if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
            # autocast would do it too, but keep the results for the backward pass
            dtype = torch.get_autocast_dtype(device)
            cast = partial(torch.Tensor.to, dtype=dtype)
            x, weight = x if x.dtype == dtype else cheap(cast, x), cheap(cast, weight)
        return self._conv_forward(x, weight, bias)


class StandardisedConvolution(Convolution, ScaledStdConv2d):
    """A convolution with scaled weight standardisation: timm's, with the weights in a step of their own."""

    def weights(self) -> tuple[Tensor, Tensor]:
        """Standardised weight, and bias."""
        weight, bias = super().weights()
        return cheap(self._standardise, weight, self.gain), bias

    def _standardise(self, weight: Tensor, gain: Tensor) -> Tensor:
        rows = weight.reshape(1, self.out_channels, -1)
        scale = (gain * self.scale).view(-1)
        return batch_norm(rows, None, None, scale, training=True, momentum=0.0, eps=self.eps).reshape_as(weight)


class Depthwise(Convolution):
    """k x k convolution of each channel by itself, same size."""

    def __init__(self, channels: int, kernel_size: int):
        super().__init__(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if input.device.type == "cpu" and input.dtype == torch.float32 and torch.is_grad_enabled():
            return _DepthwiseOnCpu.apply(input, weight, bias)
        return super()._conv_forward(input, weight, bias)


class _DepthwiseOnCpu(Function):
    """Depth-wise convolution with bias, with a faster gradient of its weight.

    That gradient is the depth-wise convolution of the input with the output's gradient as its kernel; so computed,
    it takes a fraction of the time of the CPU library's own.
    """

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=len(weight))

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        padding, channels = weight.shape[-1] // 2, len(weight)
        grad_x = grad_weight = None
        if needs_x:
            grad_x = conv2d_input(x.shape, weight, grad, padding=padding, groups=channels)
        if needs_weight:
            every = x.shape[0] * channels  # of the images has its own weight gradient here; they are summed below
            kernel = grad.reshape(every, 1, *grad.shape[2:])
            parts = conv2d(x.reshape(1, every, *x.shape[2:]), kernel, padding=padding, groups=every)
            grad_weight = parts.view(-1, *weight.shape).sum(0)
        return grad_x, grad_weight, grad.sum((0, 2, 3)) if needs_bias else None
