"""A weights file that says another network than its tensors are of is refused before that is built."""

import json

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from trevsnn.models import create_model, load_weights, save_weights, weights_info
from trevsnn.models.registry import check_weights


@pytest.fixture
def described(tmp_path):
    """Writes the file of a small network, with other options in it."""
    model, path = (
        create_model("trevsnn_digits", channels=(2, 2), timesteps=1, num_classes=2),
        tmp_path / "w.safetensors",
    )
    save_weights(model, path, weights_info("trevsnn_digits", model.config))
    with safe_open(path, "pt") as file:
        about = file.metadata()

    def write(**options):
        about["options"] = json.dumps(json.loads(about["options"]) | options)
        save_file(load_file(path), path, about)
        return path

    return write


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": [2, 4]}, "unknown, missing or of another shape"),
        ({"channels": [10**5, 10**5]}, "unknown, missing or of another shape"),
        ({"channels": [10**12, 10**12]}, "no network is of such options"),
        ({"channels": [2] * 1000}, "is more than its"),
        ({"timesteps": 2}, "missing"),
        ({"timesteps": 10**6}, "timesteps=1000000 is more than its"),
        ({"depth": 10**6}, "depth=1000000 is more than its"),
        ({"num_classes": 10**9}, r"head.*head"),
        ({"in_chans": 10**9}, r"stem\.conv1"),
    ],
    ids=str,
)
def test_other_networks_are_refused(described, options, message):
    path = described(**options)
    for read in (load_weights, check_weights):
        with pytest.raises(ValueError, match=rf"w\.safetensors' does not fit its network: .*{message}"):
            read(path)


def test_the_network_itself_and_fitted_ones_are_built(described):
    path = described(memory="stored")
    assert check_weights(path) == load_weights(path)[1]
    model = create_model("trevsnn_digits", checkpoint=path, num_classes=7, in_chans=3)
    assert model.config.in_chans == 3
    assert model.num_classes == 7
