import pytest
import torch
from helpers import excite
from torch import nn

from trevsnn.layers import MembraneShortcutBlock
from trevsnn.neurons import spike


def block(*args, **options):
    torch.manual_seed(0)
    return excite(MembraneShortcutBlock(*args, **options)).double().eval()


@pytest.mark.parametrize(("in_channels", "stride"), [(6, 1), (6, 2), (4, 1), (4, 2)])
def test_a_block_is_its_equation(in_channels, stride):
    module, x = block(in_channels, 6, stride), torch.randn(2, in_channels, 9, 8, dtype=torch.double)
    conv1, norm1, conv2, norm2 = (*module.conv1, *module.conv2)
    shortcut = x if (in_channels, stride) == (6, 1) else module.shortcut(x)
    assert isinstance(module.shortcut, nn.Identity) == (shortcut is x)
    assert torch.equal(module(x), shortcut + norm2(conv2(spike(norm1(conv1(spike(x)))))))
    assert module(x).shape == (2, 6, -(-9 // stride), -(-8 // stride))


def test_spikes_are_not_spiked_again():
    x = torch.randn(2, 4, 8, 8, dtype=torch.double)
    module = block(4, 6, 2, reads_spikes=True)
    assert torch.equal(module(spike(x)), block(4, 6, 2)(spike(x)))
    assert not torch.equal(module(x), block(4, 6, 2)(x))
