"""save_pretrained and from_pretrained, in a folder and under a name on the hub."""

from dataclasses import replace

import pytest
import torch
from timm.data import resolve_model_data_config

import trevsnn
from trevsnn import TRevSNN, create_model
from trevsnn.models import load_weights, save_weights

PREPROCESSING = {"input_size": [3, 32, 32], "mean": [0.1, 0.2, 0.3], "std": [1.0, 1.0, 1.0], "crop_pct": 0.9}


@pytest.fixture
def trained(tmp_path):
    """A network as a run leaves it: with names of its classes and its preprocessing."""
    model = create_model("trevsnn_digits", in_chans=3, channels=(4, 4, 8, 8), timesteps=2, num_classes=2)
    info = replace(model.described(), class_names=("cat", "dog"), preprocessing=PREPROCESSING, dataset="imagefolder")
    save_weights(model, tmp_path / "w.safetensors", info)
    return load_weights(tmp_path / "w.safetensors")[0]


def assert_same(left, right):
    image = torch.randn(1, 3, 32, 32)
    assert torch.equal(left(image), right(image))
    assert not right.training
    assert right.weights_info.class_names == ("cat", "dog")
    assert right.weights_info.preprocessing == PREPROCESSING


def test_a_folder_gives_the_network_back(trained, tmp_path):
    trained.save_pretrained(tmp_path / "saved")
    assert_same(trained, TRevSNN.from_pretrained(tmp_path / "saved"))
    assert resolve_model_data_config(TRevSNN.from_pretrained(str(tmp_path / "saved")))["crop_pct"] == 0.9
    again = trevsnn.TRevSNN.from_pretrained(tmp_path / "saved", memory="packed", drop_rate=0.5)
    assert again.config == replace(trained.config, memory="packed", drop_rate=0.5)


def test_a_name_is_downloaded(trained, tmp_path, monkeypatch):
    trained.save_pretrained(tmp_path / "saved")
    asked = []

    def download(repo_id, filename, **options):
        asked.append((repo_id, filename, options.get("revision")))
        return str(tmp_path / "saved" / filename)

    monkeypatch.setattr("trevsnn.models.network.hf_hub_download", download)
    assert_same(trained, TRevSNN.from_pretrained("someone/network", revision="v1"))
    assert ("someone/network", "model.safetensors", "v1") in asked


def test_other_classes_get_a_new_classifier(trained, tmp_path):
    trained.save_pretrained(tmp_path / "saved")
    model = TRevSNN.from_pretrained(tmp_path / "saved", num_classes=7)
    image = torch.randn(1, 3, 32, 32)
    assert torch.equal(model.forward_features(image), trained.forward_features(image))
    assert model(image).shape == (1, 7)
    trained.reset_classifier(2)
    trained.save_pretrained(tmp_path / "other")
    assert TRevSNN.from_pretrained(tmp_path / "other").weights_info.class_names is None


def test_what_cannot_be_saved_or_read_is_named(trained, tmp_path):
    with pytest.raises(ValueError, match="a folded network cannot be saved by name"):
        trained.fold().save_pretrained(tmp_path / "folded")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty' is not a run folder: it has no model\.safetensors"):
        TRevSNN.from_pretrained(tmp_path / "empty")


def test_a_network_built_directly_is_saved_too(tmp_path):
    model = TRevSNN(channels=(4, 8), timesteps=2, num_classes=3).eval()
    model.save_pretrained(tmp_path / "saved")
    image = torch.randn(1, 3, 32, 32)
    assert torch.equal(TRevSNN.from_pretrained(tmp_path / "saved")(image), model(image))


def test_options_of_the_hub_reach_it(tmp_path, monkeypatch):
    options = {"revision": "v1", "cache_dir": "c", "token": "t", "force_download": True, "local_files_only": True}
    asked = []

    def download(repo_id, filename, **options):
        asked.append(options)
        raise FileNotFoundError("asked")

    monkeypatch.setattr("trevsnn.models.network.hf_hub_download", download)
    for given in ({}, options):
        with pytest.raises(FileNotFoundError, match="asked"):
            TRevSNN.from_pretrained("someone/network", **given)
    assert asked == [dict.fromkeys(options) | {"force_download": False, "local_files_only": False}, options]
