"""A block of another kind, in full, and all that follows from its contract."""

import pytest
import torch
from helpers import assert_same_gradients, excite, gradients
from tolerances import assert_close
from torch import nn
from torch.nn.functional import cross_entropy

from trevsnn import create_model
from trevsnn.costs.operations import assume_operations
from trevsnn.deployment import export_onnx, plan_network
from trevsnn.deployment.module import PlanModule
from trevsnn.layers import StandardisedConvolution, register_block


class PlainBranch(nn.Module):
    """`conv(spike(x))`."""

    def __init__(self, channels, kernel_size, shared, drop_path, residual_scale, neuron):
        super().__init__()
        self.conv = StandardisedConvolution(channels, channels, kernel_size, padding=kernel_size // 2)
        self.neuron = neuron

    def weights(self):
        return self.conv.weights()

    def branch_scale(self, x):
        return None

    def forward(self, x, weights=(), scale=None):
        return self.conv(self.neuron(x), *(weights or self.weights()))

    def chain(self):
        return ("spikes", self.neuron), ("conv", self.conv)

    def fold(self):
        pass

    @staticmethod
    def shared_part(channels, kernel_size):
        return None


class OtherChain(PlainBranch):
    def forward(self, x, weights=(), scale=None):
        return 2 * super().forward(x, weights, scale)


@pytest.fixture(scope="module", autouse=True)
def registered():
    register_block("plain", PlainBranch)
    register_block("other", OtherChain)


def build(**options):
    torch.manual_seed(0)
    options = {"block": "plain", "channels": (8, 12), "kernel_size": 3, "timesteps": 3, "num_classes": 5, **options}
    return excite(create_model("trevsnn_tiny", **options))


@pytest.fixture
def images():
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("options", [{}, {"two_stream": True, "invert_blocks": True}], ids=str)
def test_it_trains_in_all_memory_settings_bit_by_bit(options, images, monkeypatch):
    monkeypatch.setattr("trevsnn.models.cells.MIN_SLICE", 1)
    found = {}
    for memory in ("stored", "packed", "reversible"):
        model = build(memory=memory, **options)
        cross_entropy(model(images), torch.tensor([0, 1, 2, 3])).backward()
        found[memory] = gradients(model)
    assert_same_gradients(found["packed"], found["stored"], decays=None)
    assert_same_gradients(found["reversible"], found["stored"])


@pytest.mark.parametrize("options", [{}, {"two_stream": True}], ids=str)
def test_it_is_folded_counted_and_exported(options, images, tmp_path):
    model = build(**options).eval()
    folded = model.fold()
    with torch.no_grad():
        logits = model(images)
        assert_close(folded(images), logits, "folded")
        assert_close(PlanModule(plan_network(folded, 32, 32))(images), logits, "folded")
    layers = assume_operations(model, (3, 32, 32), 0.1).layers
    width = 4 if options else 8
    assert {layer.macs for layer in layers if layer.kind == "conv" and layer.level == 0} == {width**2 * 9 * 8 * 8}
    export_onnx(model, tmp_path / "x.onnx", (32, 32))


def test_a_chain_that_says_something_else_is_not_exported():
    with pytest.raises(
        ValueError, match="OtherChain, which cannot be exported: what it computes is not what its chain"
    ):
        plan_network(build(block="other").eval().fold(), 32, 32)


def test_unknown_and_taken_names_are_refused():
    with pytest.raises(ValueError, match="block='round' is not known; choose from convnext, plain"):
        build(block="round")
    with pytest.raises(ValueError, match="block 'plain' is known already"):
        register_block("plain", OtherChain)
