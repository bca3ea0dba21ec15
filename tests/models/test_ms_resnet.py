"""MS-ResNet with temporal reversibility: its equations, and that all memory settings are one function."""

from dataclasses import asdict, replace
from typing import get_args

import pytest
import timm
import torch
from helpers import assert_same_gradients, excite, gradients
from torch import nn
from torch.nn.functional import cross_entropy, interpolate

from trevsnn.costs.peak_memory import peak_bytes
from trevsnn.models import (
    ReversibleMSResNet,
    ReversibleMSResNetConfig,
    count_macs,
    create_model,
    load_weights,
    parameter_counts,
    save_weights,
)
from trevsnn.models.baselines import spikingjelly_is_installed
from trevsnn.neurons import spike
from trevsnn.reversible import Memory

SMALL = {"channels": (4, 6, 6, 8), "blocks": (2, 1, 2, 1), "stem_stride": 1, "num_classes": 5, "in_chans": 2}


def build(**options):
    torch.manual_seed(0)
    return excite(ReversibleMSResNet(**{**SMALL, **options}))


def inputs(model, batch=3, size=32):
    return torch.randn(model.config.input_shape(batch, size, size), generator=torch.Generator().manual_seed(1))


def train_step(model, x, autocast=False):
    """Logits, and gradients by name."""
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        logits = model(x)
    cross_entropy(logits.float(), torch.arange(len(logits)) % 5).backward()
    return logits, gradients(model, [x])


def assert_memory_settings_agree(autocast=False, training=True, **options):
    found = {}
    for memory in get_args(Memory):
        model = build(memory=memory, **options).train(training)
        found[memory] = *train_step(model, inputs(model), autocast), dict(model.named_buffers())
    logits, expected, buffers = found.pop("stored")
    assert all(grad.any() for name, grad in expected.items() if options["timesteps"] > 1 or "decays" not in name)
    for memory, (other, actual, replayed) in found.items():
        assert torch.equal(other, logits)
        assert all(torch.equal(buffer, buffers[name]) for name, buffer in replayed.items())
        assert_same_gradients(actual, expected, "decay" if memory == "reversible" else None)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("fusion", [True, False], ids=["fusion", "no_fusion"])
@pytest.mark.parametrize("frames", [False, True], ids=["images", "clips"])
@pytest.mark.parametrize("timesteps", [1, 2, 4])
def test_all_memory_settings_are_bit_identical(timesteps, frames, fusion, training):
    assert_memory_settings_agree(training=training, timesteps=timesteps, frames=frames, fusion=fusion)


@pytest.mark.parametrize("frames", [False, True], ids=["images", "clips"])
def test_all_memory_settings_are_bit_identical_under_autocast(frames):
    assert_memory_settings_agree(autocast=True, timesteps=4, frames=frames)


@pytest.mark.parametrize("fusion", [True, False])
def test_logits_are_those_of_the_equations_written_out(fusion):
    model = build(fusion=fusion).double().eval()
    x = inputs(model).double()
    below, h, s, rates = model.encoder(x), [0.0] * 4, [None] * 4, []
    for row, decays in zip(model.grid.cells, model.grid.decays, strict=True):
        above = [*s[1:], None]
        s = []
        for level, (cell, alpha) in enumerate(zip(row, decays, strict=True)):
            f = cell.down(s[-1]) if level else below
            if fusion and above[level] is not None:
                f = f + interpolate(cell.up(above[level]), scale_factor=2)
            h[level] = alpha[:, None, None] * h[level] + f
            s.append(spike(h[level]))
        rates.append(s[-1].mean((2, 3)))
    torch.testing.assert_close(model(x), model.head(sum(rates) / 4))


def test_the_first_stage_of_an_image_runs_once_with_the_same_result():
    """A clip of the same frames runs it at every step."""
    for training in (True, False):
        images, clips = build().double().train(training), build(frames=True).double().train(training)
        state = images.state_dict()
        stage = {name: state.pop(name) for name in list(state) if name.startswith("encoder.")}
        for t in range(4):
            state |= {name.replace("encoder", f"grid.cells.{t}.0.down"): tensor for name, tensor in stage.items()}
        clips.load_state_dict(state)
        x = inputs(images).double()
        logits, once = train_step(images, x)
        same, every = train_step(clips, x.expand(4, *x.shape))
        torch.testing.assert_close(same, logits)
        for name, grad in once.items():
            name = name.replace("encoder.", "grid.cells.0.0.down.")
            torch.testing.assert_close(every[name].sum(0) if name == "input.0" else every[name], grad)


def test_steps_share_weights_and_decays_but_not_batch_statistics():
    model = build()
    for level in range(1, 4):
        steps = [row[level].down for row in model.grid.cells]
        for name, parameter in steps[0].named_parameters():
            assert all(step.get_parameter(name) is parameter for step in steps)
        assert len({id(row[level]) for row in model.grid.decays}) == 1
    assert parameter_counts(model) == parameter_counts(build(timesteps=8))
    train_step(model, inputs(model))
    means = [row[1].down[0].conv1.norm.running_mean for row in model.grid.cells]
    assert not any(torch.equal(means[0], mean) for mean in means[1:])


@pytest.mark.parametrize("memory", get_args(Memory))
@pytest.mark.parametrize("frames", [False, True])
def test_batch_statistics_move_once_per_step(frames, memory):
    model = build(frames=frames, memory=memory)
    train_step(model, inputs(model))
    assert {module.num_batches_tracked.item() for module in model.modules() if isinstance(module, nn.BatchNorm2d)} == {
        1
    }


def test_key_neurons_are_the_only_memory_through_time():
    """Without fusion and decays every step of an image comes to the same."""
    model = build(fusion=False).eval()
    for alpha in model.grid.decays[0]:
        nn.init.zeros_(alpha)
    for row in model.grid.cells:
        row.load_state_dict(model.grid.cells[0].state_dict())
    rates = []
    model.grid(constant=model.encoder(inputs(model)), readout=lambda state: rates.append(state.spikes()))
    assert rates[0].any()
    assert all(torch.equal(rate, rates[0]) for rate in rates)


@pytest.mark.parametrize(
    ("name", "fusion", "count"),
    [("trev_ms_resnet34", False, 21_802_856), ("trev_ms_resnet34", True, 21_975_784)],
)
def test_parameter_counts(name, fusion, count):
    with torch.device("meta"):
        counts = parameter_counts(create_model(name, fusion=fusion))
    assert set(counts.values()) == {count}
    assert fusion or count == pytest.approx(21.8e6, rel=0.01)  # the published figure


def test_every_step_but_the_first_leaves_out_the_first_stage():
    macs = {t: count_macs(build(timesteps=t, fusion=False), (2, 32, 32)) for t in (1, 2, 3)}
    encoder = build().encoder
    stage = sum(conv.weight.numel() * 16**2 for conv in encoder.modules() if isinstance(conv, nn.Conv2d))
    stage += 3 * encoder[0].conv.weight.numel() * 16**2  # the stem's map is four times as large
    assert macs[3] - macs[2] == macs[2] - macs[1] == macs[1] - stage - 8 * 5


@pytest.mark.skipif(not spikingjelly_is_installed(), reason="SpikingJelly is not installed")
@pytest.mark.parametrize("name", ["ms_resnet18", "ms_resnet34", "ms_resnet_digits", "ms_resnet_dvs"])
def test_named_networks_have_the_shape_of_their_baselines(name):
    with torch.device("meta"):
        model, baseline = timm.create_model(f"trev_{name}"), timm.create_model(name)
    options = asdict(baseline.config)
    assert {option: getattr(model.config, option) for option in options} == options
    for layer in ("first_conv", "classifier"):
        assert hasattr(model.get_submodule(model.default_cfg[layer]), "weight")


def test_every_option_has_an_effect():
    for options in (
        {"channels": (4, 6, 6), "blocks": (2, 1, 2)},
        {"blocks": (1, 1, 2, 1)},
        {"stem_stride": 2},
        {"fusion": False},
        {"timesteps": 2},
        {"num_classes": 4},
        {"in_chans": 1},
    ):
        shapes, others = ({n: x.shape for n, x in build(**o).state_dict().items()} for o in ({}, options))
        assert shapes != others, options


def test_saved_and_loaded(tmp_path):
    options = {"channels": (4, 6, 6, 8), "timesteps": 2, "num_classes": 5}
    model = excite(create_model("trev_ms_resnet_digits", **options))
    train_step(model, inputs(model))
    save_weights(model.eval(), tmp_path / "w.safetensors", model.described())
    loaded, info = load_weights(tmp_path / "w.safetensors")
    assert (info.model, loaded.config) == ("trev_ms_resnet_digits", model.config)
    assert torch.equal(loaded(inputs(model)), model(inputs(model)))
    other = create_model("trev_ms_resnet_digits", checkpoint=tmp_path / "w.safetensors", num_classes=3, memory="packed")
    assert other.config == replace(model.config, num_classes=3, memory="packed")
    assert torch.equal(other.encoder[0].conv.weight, model.encoder[0].conv.weight)
    for t, row in enumerate(other.grid.cells):
        for name, tensor in row.state_dict().items():
            assert torch.equal(tensor, model.grid.cells[t].state_dict()[name]), name


def test_the_classifier_can_be_replaced():
    model = build().double()
    assert model.get_classifier() is model.head
    model.reset_classifier(9)
    assert model(inputs(model).double()).shape == (3, 9)
    assert model.num_classes == 9
    with pytest.raises(ValueError, match="global_pool='max' is not available"):
        model.reset_classifier(3, "max")
    with pytest.raises(ValueError, match="num_classes=0"):
        model.reset_classifier(0)


def test_the_memory_setting_changes_nothing_but_memory():
    model = build().eval()
    expected = model(inputs(model))
    model.set_memory("stored")
    assert (model.grid.memory, model.config.memory) == ("stored", "stored")
    assert torch.equal(model(inputs(model)), expected)
    with pytest.raises(ValueError, match="memory='least' is unknown"):
        model.set_memory("least")


def test_decays_have_no_weight_decay():
    decays = build().no_weight_decay()
    assert decays == {f"grid.decays.0.{level}" for level in range(4)}


def test_any_size_from_the_smallest_works():
    for size in ((16, 16), (17, 31), (50, 20)):
        assert build().eval()(torch.randn(2, 2, *size)).shape == (2, 5)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 32, 32), "must have 4 dimensions"),
        ((1, 4, 32, 32), "has 4 channels, in_chans=2"),
        ((1, 2, 15, 32), "15 x 32 pixels is too small.*use at least 16 x 16"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        build()(torch.zeros(shape))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fusion": 1}, "fusion=1 must be True or False"),
        ({"memory": "least"}, "memory='least' is unknown"),
        ({"blocks": (1, 1)}, r"blocks=\(1, 1\) must be 4 numbers"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ReversibleMSResNetConfig(**options)


def step_bytes(model, batch, size):
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    x = inputs(model, batch, size)
    return peak_bytes(lambda: cross_entropy(model(x), torch.zeros(batch, dtype=torch.long)).backward())


def test_one_more_frame_costs_two_bits_per_key_neuron():
    batch, size, peaks = 8, 64, {}
    for memory in ("reversible", "stored"):
        few, many = (step_bytes(build(memory=memory, timesteps=t, frames=True), batch, size) for t in (4, 8))
        peaks[memory] = (many - few) / 4
    key_neurons = batch * sum(channels * (size >> level) ** 2 for level, channels in enumerate(SMALL["channels"], 1))
    kept_by_cells = 4 * 6 * 1024  # random state, batch statistics and scalars, whatever the batch
    assert key_neurons / 4 <= peaks["reversible"] <= key_neurons / 4 + kept_by_cells
    assert peaks["stored"] >= 20 * peaks["reversible"]


@pytest.mark.skipif(not spikingjelly_is_installed(), reason="SpikingJelly is not installed")
@pytest.mark.slow
def test_ms_resnet_34_trains_in_a_fifth_of_the_memory_of_back_propagation_through_time():
    reversible, bptt = (step_bytes(create_model(name), 4, 224) for name in ("trev_ms_resnet34", "ms_resnet34"))
    assert 5 * reversible <= bptt


def test_the_loss_falls():
    torch.manual_seed(0)
    model = ReversibleMSResNet(
        channels=(8, 16, 16), blocks=(1, 1, 1), stem_stride=1, num_classes=2, in_chans=2, timesteps=2
    )
    x, labels, losses = inputs(model, 8, 16), torch.arange(8) % 2, []
    x[labels == 1, 0] += 1
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.03)
    for _ in range(12):
        optimizer.zero_grad()
        losses.append(cross_entropy(model(x), labels))
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.3 * losses[0]


def test_the_first_stage_of_an_image_is_kept_as_the_memory_setting_says():
    """Run again unit by unit, kept as bits, or kept whole; the rest is one small stage."""
    options = {"channels": (12, 2), "blocks": (6, 1), "timesteps": 1}
    reversible, packed, stored = (
        step_bytes(build(memory=memory, **options), 4, 32) for memory in ("reversible", "packed", "stored")
    )
    assert 1.1 * reversible < packed < stored / 1.5
