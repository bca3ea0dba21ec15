import pytest
import torch
from tolerances import assert_close
from torch import nn

from trevsnn.layers.convolution import Depthwise, StandardisedConvolution


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("shape", [(1, 4, 6, 6), (3, 5, 7, 4), (2, 3, 2, 9)])
def test_gradients_of_a_depthwise_convolution_are_those_of_pytorch_in_float64(shape, kernel, channels_last):
    torch.manual_seed(0)
    conv = Depthwise(shape[1], kernel)
    plain = nn.Conv2d(shape[1], shape[1], kernel, padding=kernel // 2, groups=shape[1]).double()
    plain.load_state_dict(conv.state_dict())
    x, weight = torch.randn(shape), torch.randn(shape)
    if channels_last:
        x, weight = (tensor.to(memory_format=torch.channels_last) for tensor in (x, weight))
    x.requires_grad_()
    x64 = x.detach().double().requires_grad_()
    actual = torch.autograd.grad((conv(x) * weight).sum(), [x, *conv.parameters()])
    expected = torch.autograd.grad((plain(x64) * weight).sum(), [x64, *plain.parameters()])
    for a, b in zip(actual, expected, strict=True):
        assert_close(a, b, "order")


def test_a_depthwise_convolution_can_be_differentiated_twice():
    seconds = []
    for dtype in (torch.float32, torch.float64):  # the fast way, and PyTorch's own
        torch.manual_seed(0)
        conv, x = Depthwise(3, 3).to(dtype), torch.randn(2, 3, 5, 5).to(dtype).requires_grad_()
        (grad,) = torch.autograd.grad(conv(x).square().sum(), x, create_graph=True)
        seconds.append(torch.autograd.grad(grad.square().sum(), conv.weight)[0])
    assert_close(*seconds, "orders")


def test_only_what_needs_a_gradient_gets_one():
    conv, x = Depthwise(3, 3), torch.randn(2, 3, 5, 5)
    conv.bias.requires_grad_(False)
    conv(x).sum().backward()
    assert conv.weight.grad is not None
    assert conv.bias.grad is None


def test_weights_made_once_give_the_same_result():
    torch.manual_seed(0)
    x = torch.randn(2, 4, 5, 5)
    for conv in (Depthwise(4, 3), StandardisedConvolution(4, 6, 1)):
        assert torch.equal(conv(x, *conv.weights()), conv(x))
