"""What comes from a recipe yields to what the user says, and to the data; what the user says does not."""

from dataclasses import replace

import numpy as np
import pytest

from trevsnn.data import PixelSamples, load_dataset
from trevsnn.models import create_model, save_weights, weights_info
from trevsnn.training import TrainConfig
from trevsnn.training.origins import Origins
from trevsnn.training.yielding import fit_to_data, yielding

RECIPE = {"epochs": 20, "warmup_epochs": 2.0, "lr": 1e-2, "min_lr": 1e-4, "kernel_size": 3, "image_size": 64}


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        ({"epochs": 1.0}, {"warmup_epochs": 0.1}),
        ({"epochs": 3.0}, {"warmup_epochs": 0.3}),
        ({"epochs": 4.0}, {}),
        ({"epochs": 1.0, "warmup_epochs": 1.0}, {}),
        ({"epochs": 1.0, "warmup_epochs": 3.0}, {}),
        ({"warmup_epochs": 21.5}, {"epochs": 22}),
        ({"lr": 1e-5}, {"min_lr": 1e-7}),
        ({"lr": 1e-5, "min_lr": 1e-4}, {}),
        ({"lr": -1.0}, {}),
        ({"epochs": "many"}, {}),
        ({"model": "trevsnn_tiny"}, {}),
        ({"model": "trev_ms_resnet18"}, {"kernel_size": None}),
        ({"model": "trev_ms_resnet18", "kernel_size": 5.0}, {}),
    ],
    ids=str,
)
def test_settings_that_yield_to_the_users(given, changed):
    values, notes = yielding(RECIPE, given)
    expected = {name: value for name, value in (RECIPE | changed).items() if value is not None}
    assert values == pytest.approx(expected)
    assert len(notes) == len(changed)
    for name in changed:
        assert name in notes[0]


def test_the_network_and_size_of_weights_come_before_the_recipes(tmp_path):
    model = create_model("trevsnn_digits", channels=(4, 6), timesteps=1)
    size = {"input_size": [1, 48, 48]}
    save_weights(model, tmp_path / "w", weights_info("trevsnn_digits", model.config, preprocessing=size))
    recipe = RECIPE | {"channels": [8, 8], "drop_path_rate": 0.1}
    values, notes = yielding(recipe, {"weights": str(tmp_path / "w")})
    assert recipe.keys() - values.keys() == {"kernel_size", "image_size", "channels"}
    assert notes == ["left out of the recipe, as the weights have their own: kernel_size, channels, image_size"]
    save_weights(model, tmp_path / "w", weights_info("trevsnn_digits", model.config))
    assert yielding(recipe, {"weights": str(tmp_path / "w")})[0]["image_size"] == 64, "the weights say nothing of it"


@pytest.mark.parametrize(
    ("config", "given", "world", "changed"),
    [
        ({"batch_size": 64}, (), 1, {"batch_size": 48}),
        ({"batch_size": 64}, (), 2, {"batch_size": 24}),
        ({"batch_size": 64}, ("batch_size",), 1, {}),
        ({"batch_size": 10, "effective_batch": 4096}, ("batch_size",), 1, {"effective_batch": 40}),
        ({"batch_size": 10, "effective_batch": 4096}, ("batch_size", "effective_batch"), 1, {}),
        ({"batch_size": 32, "effective_batch": 36}, ("effective_batch",), 1, {"batch_size": 18}),
        ({"batch_size": 16, "effective_batch": 48}, (), 1, {}),
    ],
    ids=str,
)
def test_steps_fit_the_data(config, given, world, changed):
    digits = load_dataset("digits")
    few = replace(digits, train=PixelSamples(np.zeros((48, 8, 8), np.uint8), np.zeros(48, np.int64)))
    before = TrainConfig(**config)
    after, origins = fit_to_data(before, few, Origins(given=frozenset(given)), world)
    assert after == replace(before, **changed)
    assert len(origins.notes) == len(changed)
    for name in changed:
        assert f"--{name.replace('_', '-')} decides otherwise" in origins.notes[0]
