"""The networks: what they return, that all memory settings are one function, and timm's interface."""

from functools import partial
from operator import mul
from typing import get_args

import pytest
import torch
from helpers import assert_same_gradients, gradients
from tolerances import assert_close, relative_error
from torch import nn

from trevsnn import create_model, intermediate_supervision_loss, list_models
from trevsnn.costs.peak_memory import peak_bytes
from trevsnn.models import save_weights
from trevsnn.models.baselines import BASELINES
from trevsnn.reversible import Memory


@pytest.mark.parametrize(
    "options",
    [
        {"channels": (8, 8, 12, 12)},
        {"slices": 1},
        {"slices": 2},
        {"timesteps": 1},
        {"timesteps": 8, "depth": 8},
        {"timesteps": 5, "depth": 3, "aux_heads": False},
        {"input_encoding": "grouped"},
        {"drop_path_rate": 0.3, "drop_rate": 0.2},
        {"fusion": False},
        {"residual_scale": False},
        {"learn_decay": False},
        {"channels": (8,)},
        {"threshold": 0.3, "window": (0.1, 0.8)},
        {"channels": (4, 6, 8, 10, 12), "kernel_size": 5},
    ],
    ids=str,
)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_all_memory_settings_are_bit_identical(build, options, training, images, monkeypatch):
    monkeypatch.setattr("trevsnn.models.cells.MIN_SLICE", 1)  # cut even these small maps
    images, results = torch.cat([images] * 2, dim=2).repeat(1, 1, 1, 2), []  # 64 x 64
    for memory in ("stored", "packed", "reversible"):
        model = build(memory=memory, **{"channels": (8, 12), **options}).train(training)
        x = images.clone().requires_grad_()
        torch.manual_seed(1)
        outputs = model(x)
        intermediate_supervision_loss(outputs, torch.tensor([0, 1, 2]), 0.1).backward()
        outputs = outputs if isinstance(outputs, list) else [outputs]
        found = gradients(model, [x])
        results.append((outputs, found, dict(model.named_buffers())))
    (stored, expected, buffers), *others = results
    for (outputs, actual, replayed), decays in zip(others, (None, "decay"), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(outputs, stored, strict=True))
        assert all(torch.equal(buffer, buffers[name]) for name, buffer in replayed.items())
        assert_same_gradients(actual, expected, decays)


@pytest.mark.parametrize(
    ("name", "options"),
    [(name, {}) for name in list_models() if name not in BASELINES]
    + [("trevsnn_digits", {"two_stream": True, "invert_blocks": invert}) for invert in (False, True)],
    ids=str,
)
@pytest.mark.slow
def test_every_named_network_is_bit_identical_in_all_memory_settings(name, options):
    found = {}
    for memory in get_args(Memory):
        torch.manual_seed(0)
        model = create_model(name, memory=memory, num_classes=10, **options)
        model.set_intermediate_supervision()
        x = torch.randn(model.config.input_shape(2, 64, 64)).requires_grad_()
        intermediate_supervision_loss(model(x), torch.tensor([0, 1]), 0.1).backward()
        found[memory] = gradients(model, [x])
    assert_same_gradients(found["packed"], found["stored"], decays=None)
    assert_same_gradients(found["reversible"], found["stored"])


def test_one_more_step_costs_a_network_two_bits_per_key_neuron(build):
    """The decays are per step and one half, as in the published networks."""
    batch, size = 8, 64
    images, labels = torch.randn(batch, 3, size, size), torch.zeros(batch, dtype=torch.long)

    def peak(memory, timesteps):
        model = build(memory=memory, timesteps=timesteps, aux_heads=False)
        for p in model.parameters():
            p.grad = torch.zeros_like(p)
        return peak_bytes(lambda: intermediate_supervision_loss(model(images), labels).backward())

    pixels = [(size // 4) ** 2, (size // 8) ** 2, (size // 16) ** 2, (size // 16) ** 2]
    key_neurons = batch * sum(map(mul, (8, 8, 12, 12), pixels))
    step = (peak("reversible", 8) - peak("reversible", 4)) / 4
    kept_by_cells = 4 * 6 * 1024  # random state, batch statistics and scalars, whatever the batch
    assert key_neurons / 4 <= step <= key_neurons / 4 + kept_by_cells
    assert (peak("stored", 8) - peak("stored", 4)) / 4 >= 40 * step


def test_training_returns_every_head_and_inference_the_deployed_one(build, images):
    model = build()
    outputs = model.train()(images)
    assert [output.shape for output in outputs] == [(3, 5)] * 4
    assert model.eval()(images).shape == (3, 5)
    assert build(aux_heads=False).train()(images).shape == (3, 5)


@pytest.mark.parametrize("frames", [False, True])
def test_any_training_loop_can_train_it(build, images, frames):
    model = build(frames=frames)
    model.set_intermediate_supervision(False)
    output = model.train()(images.expand(4, *images.shape) if frames else images)
    torch.nn.functional.cross_entropy(output, torch.tensor([0, 1, 2])).backward()
    learned = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name for name, parameter in model.named_parameters() if parameter.grad is not None} == learned
    assert not any(name.startswith("aux_heads.") for name in learned)
    model.reset_classifier(7)
    assert not any(parameter.requires_grad for parameter in model.aux_heads.parameters())
    model.set_intermediate_supervision()
    assert all(parameter.requires_grad for parameter in model.aux_heads.parameters())


def test_features_and_head_make_up_the_forward_pass(build, images):
    model = build().eval()
    features = model.forward_features(images)
    assert features.shape == (3, 12, 2, 2)
    assert set(features.unique().tolist()) == {0, 1}
    assert torch.equal(model.forward_head(features), model(images))
    rates = model.forward_head(features, pre_logits=True)
    torch.testing.assert_close(rates, features.mean((2, 3)))
    assert rates.shape == (3, model.num_features)


def test_the_classifier_can_be_replaced_and_removed(build, images):
    model = build().double()
    assert model.get_classifier() is model.head
    model.reset_classifier(9)
    assert [output.shape[1] for output in model(images.double())] == [9] * 4
    assert model.num_classes == 9
    model.reset_classifier(0)
    assert model.eval()(images.double()).shape == (3, 12)
    assert not len(model.train().aux_heads)
    with pytest.raises(ValueError, match="global_pool='max' is not available"):
        model.reset_classifier(3, "max")
    with pytest.raises(ValueError, match="num_classes=-3"):
        model.reset_classifier(-3)


def test_dropping_is_for_training_alone(build, images):
    model = build(drop_rate=0.5, drop_path_rate=0.5)
    assert not torch.equal(model(images)[-1], model(images)[-1])
    model.eval()
    assert torch.equal(model(images), model(images))


def test_the_memory_setting_changes_nothing_but_memory(build, images):
    model = build().eval()
    expected = model(images)
    model.set_memory("stored")
    assert (model.grid.memory, model.config.memory) == ("stored", "stored")
    assert torch.equal(model(images), expected)
    model.set_grad_checkpointing()
    assert model.config.memory == "reversible"
    model.set_grad_checkpointing(False)
    assert model.config.memory == "stored"
    with pytest.raises(ValueError, match="memory='least' is unknown"):
        model.set_memory("least")


def test_the_slope_makes_stem_and_head_nonlinear(build, images):
    model = build().eval()
    expected = model(images)
    model.set_negative_slope(0.1)
    assert relative_error(model(images), expected) > 1e-3
    model.set_negative_slope(1.0)
    assert torch.equal(model(images), expected)


def test_subnetworks_share_the_tail_of_every_second_block(build):
    cells = build().grid.cells
    for level in range(4):
        first, second = ([row[level].blocks[i] for row in cells] for i in range(2))
        assert len({id(block.tail) for block in first}) == 4
        assert len({id(block.tail) for block in second}) == 1
        assert all(block.gamma is not None for block in first)
        assert all(block.gamma is None for block in second)


def test_decays_start_at_one_half_and_have_no_weight_decay(build):
    model = build()
    decays = {name: p for name, p in model.named_parameters() if name.startswith("grid.decays")}
    assert len(decays) == 16
    assert all((p == 0.5).all() for p in decays.values())
    assert model.no_weight_decay() == decays.keys()


def test_decays_that_are_not_learned_are_saved_all_the_same(build, images, tmp_path):
    model, file = build(learn_decay=False), tmp_path / "model.safetensors"
    sum(output.square().sum() for output in model(images)).backward()
    without_gradient = {name for name, p in model.named_parameters() if p.grad is None}
    assert without_gradient == model.no_weight_decay() != set()
    for fixed in (True, False):
        model.grid.decays[1][2].data.fill_(0.25)
        save_weights(model, file, model.described())
        other = create_model("trevsnn_tiny", checkpoint=file, learn_decay=not fixed)
        assert other.grid.decays[1][2].requires_grad == (not fixed)
        assert torch.equal(other.eval()(images), model.eval()(images))
        model = build()


def test_without_fusion_nothing_comes_from_above(build, images):
    model = build(fusion=False).eval()
    last = [row[-1].fusion.down.conv for row in model.grid.cells]
    before = model.grid(model.stem(images), lambda state: state.membranes[0])
    for conv in last:
        conv.weight.data.neg_()
    after = model.grid(model.stem(images), lambda state: state.membranes[0])
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_without_residual_scale_gamma_is_1(build, images):
    scaled, plain = build().eval(), build(residual_scale=False).eval()
    gammas = [name for name, _ in scaled.named_parameters() if name.endswith("gamma")]
    for name in gammas:
        scaled.get_parameter(name).data.fill_(1.0)
    unfitting = plain.load_state_dict(scaled.state_dict(), strict=False)
    assert unfitting.unexpected_keys == gammas != []
    assert not unfitting.missing_keys
    assert torch.equal(plain(images), scaled(images))


def test_levels_halve_the_resolution_but_the_last(build):
    model, shapes = build(), []
    model.grid(model.stem(torch.randn(1, 3, 64, 48)), lambda state: shapes.extend(h.shape for h in state.membranes))
    assert [tuple(shape[2:]) for shape in shapes[:4]] == [(16, 12), (8, 6), (4, 3), (4, 3)]


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (33, 64), (50, 20)])
def test_any_size_from_the_smallest_works(build, size):
    assert build().eval()(torch.randn(2, 3, *size)).shape == (2, 5)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 32, 32), "must have 4 dimensions"),
        ((1, 3, 1, 32, 32), "must have 4 dimensions"),
        ((1, 4, 32, 32), "has 4 channels, in_chans=3"),
        ((1, 3, 15, 32), "the map of level 2 would shrink below one pixel; use at least 16 x 16"),
        ((1, 3, 32, 3), "the map of level 0 would shrink below one pixel; use at least 16 x 16"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(build, shape, message):
    with pytest.raises(ValueError, match=message):
        build()(torch.randn(shape))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_all_memory_settings_are_bit_identical_under_autocast(build, images, dtype, monkeypatch):
    monkeypatch.setattr("trevsnn.models.cells.MIN_SLICE", 1)
    found = {}
    for memory in get_args(Memory):
        model = build(memory=memory)
        with torch.autocast("cpu", dtype):
            loss = intermediate_supervision_loss(model(images), torch.tensor([0, 1, 2]))
        loss.backward()
        found[memory] = gradients(model)
    assert all(grad.isfinite().all() for grad in found["stored"].values())
    assert_same_gradients(found["packed"], found["stored"], decays=None)
    assert_same_gradients(found["reversible"], found["stored"])


@pytest.mark.parametrize("memory", get_args(Memory))
def test_channels_last_is_what_the_network_computes_in_anyway(build, images, memory):
    model = build(memory=memory)
    expected = model(images)
    model = build(memory=memory).to(memory_format=torch.channels_last)
    outputs = model(images.to(memory_format=torch.channels_last))
    for output, same in zip(outputs, expected, strict=True):
        assert_close(output, same, "order")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # the compiler looks at it
@pytest.mark.parametrize("memory", get_args(Memory))
def test_a_compiled_network_is_the_same(build, images, memory):
    """The compiler's own tracing, without its code generation, which needs a C++ compiler."""
    model, labels = build(memory=memory, timesteps=2, channels=(8, 12), depth=2), torch.tensor([0, 1, 2])
    compiled = torch.compile(model, backend="aot_eager")
    intermediate_supervision_loss(model(images), labels).backward()
    expected = gradients(model)
    model.zero_grad()
    intermediate_supervision_loss(compiled(images), labels).backward()
    actual = gradients(model)
    assert_same_gradients(actual, expected, "reference", "reference")
    model.eval()
    with torch.no_grad():
        assert_close(compiled(images), model(images), "order")


@pytest.mark.slow
def test_the_published_network_trains_in_the_memory_that_the_documentation_claims():
    """Of a batch of 16, by the line through batches of 2 and 4."""
    for memory, most in (("reversible", 16e6), ("packed", 55e6)):
        model = create_model("trevsnn_small", memory=memory)
        model.set_intermediate_supervision()
        for p in model.parameters():
            p.grad = torch.zeros_like(p)

        def step(batch, model=model):
            outputs = model(torch.randn(batch, 3, 224, 224))
            intermediate_supervision_loss(outputs, torch.zeros(batch, dtype=torch.long), 0.1).backward()

        two, four = (peak_bytes(partial(step, batch)) for batch in (2, 4))
        assert four + 12 * (four - two) / 2 <= 16 * most, memory


def test_frozen_stem_and_early_steps(build, images):
    """Transfer learning: what is frozen has no gradient, all else has the same."""
    results = {}
    for memory in get_args(Memory):
        model = build(memory=memory)
        for name, p in model.named_parameters():
            p.requires_grad_(not name.startswith(("stem.", "grid.cells.0.", "grid.decays.1.")))
        intermediate_supervision_loss(model(images), torch.tensor([0, 1, 2])).backward()
        results[memory] = gradients(model)
    assert results["stored"]["stem.conv1.weight"] is None
    assert_same_gradients(results["packed"], results["stored"], decays=None)
    assert_same_gradients(results["reversible"], results["stored"])


def test_synchronised_batch_normalisation_is_refused(build):
    with pytest.raises(ValueError, match="SyncBatchNorm"):
        nn.SyncBatchNorm.convert_sync_batchnorm(build()).set_memory("reversible")


def test_small_maps_are_not_sliced(build):
    """A slice has at least MIN_SLICE values of the map: here 4 samples of 16384."""
    cell = build(slices=16).grid.cells[0][0]
    assert [cell(torch.zeros(n, 8, *size)).size for n, size in ((32, (32, 64)), (96, (32, 64)), (1, (8, 8)))] == [
        4,
        6,
        128,
    ]
