import pytest
import torch
from tolerances import assert_close
from torch import Tensor, nn

from trevsnn.data.loading import Batch
from trevsnn.layers import TwoStreams
from trevsnn.models import create_model
from trevsnn.models.baselines import spikingjelly_is_installed
from trevsnn.neurons import spike
from trevsnn.reversible import Sliced
from trevsnn.studies.temporal_gradients import CUTS, cuts_of, temporal_gradient_study
from trevsnn.training import intermediate_supervision_loss

needs_spikingjelly = pytest.mark.skipif(not spikingjelly_is_installed(), reason="SpikingJelly is not installed")

SMALL = {
    "trev_ms_resnet_digits": {"channels": (8, 8, 12, 12)},
    "ms_resnet_digits": {"channels": (4, 6, 8, 8)},
    "sdt_digits": {"embed_dims": 32, "depth": 1},
    "trevsnn_digits": {"channels": (8, 8, 12, 12)},
}


def build(name, **options):
    torch.manual_seed(0)
    model = create_model(name, **{**SMALL.get(name, {}), "timesteps": 3, **options})
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.weight, 0.7)  # the zoo's residual branches begin with 0
    model.set_intermediate_supervision()
    return model


def batches(count=1, in_chans=1):
    generator = torch.Generator().manual_seed(0)
    return [Batch(torch.randn(4, in_chans, 32, 32, generator=generator), torch.arange(4), []) for _ in range(count)]


def gradients(model, where=None):
    model.zero_grad()
    (batch,) = batches()
    with (where or cuts_of(model)["none"])():
        intermediate_supervision_loss(model(batch.images), batch.targets).backward()
    return {name: p.grad for name, p in model.named_parameters()}


@needs_spikingjelly
@pytest.mark.parametrize(("name", "ends"), [("ms_resnet_digits", 4), ("sdt_digits", 5), ("sew_resnet34", 4)])
def test_each_stage_ends_in_one_layer_of_neurons(name, ends):
    with torch.device("meta"):
        model = build(name)
    assert len(model.stage_ends) == ends
    assert set(model.stage_ends) < set(model.neurons)


@needs_spikingjelly
def test_a_cut_neuron_has_no_gradient_through_its_memory():
    """Against the same neuron written out, its potential of the step before detached."""
    from spikingjelly.activation_based import functional, neuron, surrogate

    model = build("ms_resnet_digits")
    node = model.neurons[0]
    assert (node.decay_input, node.v_reset, node.detach_reset) == (False, 0.0, True)
    x = torch.randn(3, 2, 5, requires_grad=True)

    def written_out(sequence, cut):
        v, spikes = torch.zeros_like(sequence[0]), []
        for current in sequence:
            v = (v.detach() if cut else v) * (1 - 1 / node.tau) + current
            spikes.append(surrogate.Rect(alpha=2.0)(v - node.v_threshold))
            v = v * (1 - spikes[-1].detach())
        return torch.stack(spikes)

    weights = torch.randn(3, 2, 5)
    for cut in (False, True):
        (expected,) = torch.autograd.grad((written_out(x, cut) * weights).sum(), x)
        functional.reset_net(node)
        with cuts_of(model)["all" if cut else "none"]():
            (found,) = torch.autograd.grad((node(x) * weights).sum(), x)
        assert_close(found, expected, "order")
    assert isinstance(node, neuron.LIFNode)


@needs_spikingjelly
@pytest.mark.parametrize("name", ["ms_resnet_digits", "sdt_digits"])
def test_cutting_changes_gradients_only_and_leaves_the_network_as_it_was(name):
    model = build(name).train()
    (batch,) = batches()
    with torch.no_grad():
        expected = model(batch.images)
    before = gradients(model)
    changed = {}
    for cut, where in cuts_of(model).items():
        with where(), torch.no_grad():
            assert_close(model(batch.images), expected, "order")
        found = gradients(model, where)
        changed[cut] = sum(float((found[key] - before[key]).abs().sum()) for key in before)
    assert list(changed) == list(CUTS)
    assert changed["none"] == 0
    assert min(changed["all but last"], changed["only last"], changed["all"]) > 0
    assert all(torch.equal(grad, before[key]) for key, grad in gradients(model).items())


@needs_spikingjelly
def test_study_of_a_baseline():
    model = build("ms_resnet_digits")
    study = temporal_gradient_study(model, intermediate_supervision_loss, batches(2))
    layers = [name for name, module in model.named_modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    assert {s.layer for s in study} == set(layers)
    assert study[0].layer == "network.stem.0"
    assert study[-1].layer == "network.head"
    for s in study:
        assert s.spatial["none"] == pytest.approx(1)
        assert all(-1 <= value <= 1 + 1e-9 for value in s.spatial.values())
    assert study[-1].weight["all"] == pytest.approx(1)  # no neuron comes after the classifier
    last_convolution = next(s for s in study if s.layer == "network.layer4.1.conv2")
    assert last_convolution.spatial["all but last"] == pytest.approx(1)  # only head_lif comes after it
    assert last_convolution.spatial["only last"] == pytest.approx(last_convolution.spatial["all"])
    assert last_convolution.spatial["all"] < 0.9999


@pytest.mark.parametrize("options", [{}, {"drop_rate": 0.2}, {"drop_path_rate": 0.2}], ids=str)
def test_study_of_a_reversible_network_cuts_its_key_neurons(options):
    model = build("trevsnn_digits", memory="reversible", **options)
    study = temporal_gradient_study(model, intermediate_supervision_loss, batches())
    assert set(study[0].spatial) == {"none", "all"}
    by_name = {s.layer: s for s in study}
    assert by_name["head.linear2"].spatial["all"] == pytest.approx(1)
    last_step = [s for s in study if s.layer.startswith("grid.cells.2.")]
    first_step = [s for s in study if s.layer.startswith("grid.cells.0.")]
    assert all(s.spatial["all"] == pytest.approx(1) for s in last_step)  # no step comes after it
    assert min(s.spatial["all"] for s in first_step) < 0.9999
    assert model.grid.memory == "reversible"


@pytest.mark.parametrize("name", ["trevsnn_digits", "trev_ms_resnet_digits"])
def test_a_cut_key_neuron_hands_no_gradient_to_the_step_before(name):
    """Against the recursion of the grid written out, h[t-1] and the spikes of the level above at t-1 detached."""
    model = build(name, memory="stored").double().train()
    grid, x = model.grid, torch.randn(4, 8, 16, 16).double()

    def of_the_grid():
        return grid(constant=x, readout=lambda state: torch.cat([h.flatten(1) for h in state.membranes], 1))

    def written_out(of_the_step_before):
        h, spikes, outputs = [None] * grid.levels, [None] * (grid.levels + 1), []
        for cells, decays in zip(grid.cells, grid.decays, strict=True):
            for level, (cell, alpha) in enumerate(zip(cells, decays, strict=True)):
                above = spikes[level + 1]
                f = cell(spikes[level - 1] if level else x, None if above is None else of_the_step_before(above))
                f = f.run() if isinstance(f, Sliced) else f
                h[level] = f if h[level] is None else f + alpha[:, None, None] * of_the_step_before(h[level])
                spikes[level] = spike(h[level])
            outputs.append(torch.cat([membrane.flatten(1) for membrane in h], 1))
        return outputs

    weights = torch.randn_like(torch.stack(of_the_grid()))

    def gradients_of(outputs):
        loss = (torch.stack(outputs) * weights).sum()
        return torch.autograd.grad(loss, list(grid.parameters()), materialize_grads=True)

    for cut, of_the_step_before in (("none", lambda of_before: of_before), ("all", Tensor.detach)):
        expected = gradients_of(written_out(of_the_step_before))
        with cuts_of(model)[cut]():
            found = gradients_of(of_the_grid())
        for gradient, same in zip(found, expected, strict=True):
            assert_close(gradient, same, "orders")


def test_two_streams_are_studied_alike_whether_or_not_their_blocks_are_inverted():
    studies = []
    for invert in (False, True):
        model = build("trevsnn_digits", two_stream=True, invert_blocks=invert)
        studies.append(temporal_gradient_study(model, intermediate_supervision_loss, batches()))
        assert {module.invert for module in model.modules() if isinstance(module, TwoStreams)} == {invert}
    assert studies[0] == studies[1]
    assert any("blocks" in s.layer for s in studies[1])


def test_a_batch_is_studied_with_the_random_numbers_of_one_training_step():
    model = build("trevsnn_digits", drop_path_rate=0.2)
    before = torch.get_rng_state()
    temporal_gradient_study(model, intermediate_supervision_loss, batches())
    after = torch.get_rng_state()
    torch.set_rng_state(before)
    gradients(model.train())
    assert torch.equal(torch.get_rng_state(), after)
    assert not torch.equal(before, after)


def test_a_network_of_one_step_is_refused():
    with pytest.raises(ValueError, match="timesteps=1: a network of one step has no temporal gradient"):
        cuts_of(build("trevsnn_digits", timesteps=1))
