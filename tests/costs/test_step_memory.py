"""The parts of a training step's memory are what they are known to be."""

from typing import get_args

import pytest
import torch

from trevsnn import create_model
from trevsnn.costs.peak_memory import peak_bytes
from trevsnn.costs.step_memory import largest_batch, measure_step
from trevsnn.reversible import Memory

BATCH, SIZE, TIMESTEPS = 16, 32, 3
CHANNELS = (8, 8, 12, 12)
KEY_NEURONS = BATCH * (8 * 8 * 8 + 8 * 4 * 4 + 12 * 2 * 2 + 12 * 2 * 2)


def measure(memory, batch=BATCH, **options):
    torch.manual_seed(0)
    model = create_model("trevsnn_digits", channels=CHANNELS, timesteps=TIMESTEPS, memory=memory)
    return model, measure_step(model, batch, SIZE, **options)


@pytest.fixture(scope="module")
def settings():
    return {memory: measure(memory)[1] for memory in get_args(Memory)}


def test_parameters_gradients_and_optimizer_are_what_they_take():
    model, step = measure("reversible")
    learned = sum(4 * p.numel() for p in model.parameters())
    assert step.gradients == learned
    assert step.parameters == learned + sum(buffer.nbytes for buffer in model.buffers())
    assert 2 * learned <= step.optimizer <= 2 * learned + 8 * len(list(model.parameters()))


def test_key_states_are_six_bytes_per_neuron_or_four_per_neuron_and_step(settings):
    assert settings["reversible"].key_states == 6 * KEY_NEURONS
    for memory in ("stored", "packed"):
        assert settings[memory].key_states == 4 * KEY_NEURONS * (TIMESTEPS - 1), "none reads the last ones back"


def test_saved_bits_are_a_quarter_byte_per_key_neuron_and_step(settings):
    assert settings["reversible"].saved_bits == pytest.approx(KEY_NEURONS * TIMESTEPS / 4, rel=0.01, abs=6 * 1024 * 12)
    assert settings["packed"].saved_bits < settings["stored"].saved_bits / 2


def test_each_setting_takes_less_than_the_next(settings):
    assert settings["reversible"].activations < settings["packed"].activations < settings["stored"].activations / 3
    assert settings["reversible"].step < settings["stored"].step / 2
    for step in settings.values():
        parts = step.parameters + step.gradients + step.optimizer + step.key_states + step.saved_bits
        assert step.total == parts + step.activations + step.transient
        assert step.per_image == step.step / BATCH


def test_under_autocast_key_states_stay_in_fp32_and_activations_do_not(settings):
    _, half = measure("stored", precision="bf16")
    assert half.key_states == settings["stored"].key_states
    assert half.activations < 0.8 * settings["stored"].activations


def test_the_largest_batch_is_the_one_whose_step_fits(settings):
    few, many = measure("stored", 16)[1], measure("stored", 32)[1]
    _, more = measure("stored", 64)
    assert largest_batch(few, many, more.total) == pytest.approx(64, rel=0.05)
    assert largest_batch(few, many, few.parameters) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [({"batch": 0}, "batch=0"), ({"resolution": 0}, "resolution=0"), ({"precision": "fp8"}, "precision='fp8'")],
)
def test_what_cannot_be_measured_is_refused(options, message):
    model = create_model("trevsnn_digits", channels=CHANNELS, timesteps=1)
    with pytest.raises(ValueError, match=message):
        measure_step(model, **{"batch": 2, "resolution": SIZE, **options})


def test_inference_takes_no_more_memory_for_more_steps():
    """With the number of blocks fixed; at one step there is no potential to carry on."""
    peaks = []
    for timesteps in (2, 4, 8):
        network = create_model("trevsnn_digits", timesteps=timesteps, depth=8).eval().fold()
        images = torch.zeros(4, 1, 32, 32)
        with torch.inference_mode():
            peaks.append(peak_bytes(lambda: network(images), torch.device("cpu")))  # noqa: B023
    assert peaks[0] > 0
    assert len(set(peaks)) == 1
