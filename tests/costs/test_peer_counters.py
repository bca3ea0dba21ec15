"""The counts of two tools that count operations in their own ways."""

import warnings

import pytest
import torch

from trevsnn import create_model
from trevsnn.costs.operations import assume_operations, measure_operations
from trevsnn.data.loading import Batch

OPTIONS = {
    "published": {},
    "grouped": {"input_encoding": "grouped"},
    "depth": {"depth": 3},
    "clips": {"frames": True, "timesteps": 3},
}


def imported(name):
    """A module, or the test is skipped; what it warns of is not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_neurobench_counts_the_same_in_the_folded_network(build, batches, options):
    """Effective operations (MACs where the input is not binary, ACs where it is), and the dense ones."""
    models, layers = imported("neurobench.models"), imported("neurobench.hooks.layer")
    operations = imported("neurobench.metrics.workload").SynapticOperations()

    class InputHook(layers.LayerHook):
        def hook_fn(self, module, inputs):
            super().hook_fn(module, inputs[:1])  # the others are the weights

    class Model(models.TorchModel):
        def register_hooks(self):
            for layer in dict.fromkeys(self.connection_layers()):  # one that subnetworks share is listed by each
                self.connection_hooks.append(InputHook(layer))

    network = build(**options).double().fold()  # double, so that its sums are integers
    (batch,) = batches(network)
    model = Model(network)
    model.register_hooks()
    with torch.inference_mode():
        logits = model(batch.images)
    theirs = operations(model, logits, (batch.targets, batch.targets))
    model.cleanup_hooks()

    ours = measure_operations(network, [batch]).layers
    assert sum(layer.operations for layer in ours if layer.binary) == pytest.approx(theirs["Effective_ACs"], rel=1e-12)
    assert sum(x.operations for x in ours if not x.binary) == pytest.approx(theirs["Effective_MACs"], rel=1e-12)
    dense = assume_operations(network, (2, 32, 40), 1.0).layers
    assert sum(layer.operations for layer in dense) == theirs["Dense"]


@pytest.mark.parametrize("folded", [False, True], ids=["unfolded", "folded"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_spikingjelly_counts_the_same_synaptic_operations(build, batches, options, folded):
    counting = imported("spikingjelly.activation_based.op_counter")
    network = build(**options).fold() if folded else build(**options)
    network.requires_grad_(False)  # its hooks need none that require gradients
    (batch,) = batches(network)
    counter = counting.SynOpCounter()
    with torch.no_grad(), counting.DispatchCounterMode([counter]):
        network(batch.images)
    ours = measure_operations(network, [batch]).layers
    assert 7 * sum(layer.operations for layer in ours if layer.binary) == pytest.approx(counter.get_total(), rel=1e-12)


@pytest.mark.parametrize("name", ["ms_resnet_digits", "sdt_digits", "ms_resnet_dvs"])
def test_spikingjelly_counts_the_same_in_its_own_networks(name):
    counting = imported("spikingjelly.activation_based.op_counter")
    torch.manual_seed(0)
    model = create_model(name, timesteps=2).eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.constant_(module.weight, 3.0)  # neurons fire
    batch = Batch(torch.randn(model.config.input_shape(3, 32, 32)), torch.zeros(3), [])
    counter = counting.SynOpCounter()
    with torch.no_grad(), counting.DispatchCounterMode([counter]):
        model(batch.images)
    ours = measure_operations(model, [batch]).layers
    assert sum(layer.firing_rate > 0 for layer in ours if layer.binary) > len(ours) / 2
    assert 3 * sum(layer.operations for layer in ours if layer.binary) == pytest.approx(counter.get_total(), rel=1e-12)
