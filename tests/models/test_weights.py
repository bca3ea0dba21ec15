import json

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from trevsnn import create_model
from trevsnn.models import (
    ReversibleMSResNet,
    TRevSNN,
    WeightsInfo,
    load_weights,
    read_weights_info,
    save_weights,
    weights_info,
)

OPTIONS = {"channels": (4, 4, 8, 8), "timesteps": 2, "num_classes": 10}


@pytest.fixture
def saved(tmp_path):
    model = create_model("trevsnn_digits", **OPTIONS).eval()
    path = tmp_path / "model.safetensors"
    about = {"dataset": "digits", "class_names": tuple("abcdefghij")}
    save_weights(model, path, weights_info("trevsnn_digits", model.config, **about))
    return model, path


def test_weights_and_description_come_back(saved):
    model, path = saved
    loaded, info = load_weights(path)
    assert info.dataset == "digits"
    assert info.class_names == tuple("abcdefghij")
    assert loaded.config == model.config
    assert not loaded.training
    images = torch.randn(2, 1, 32, 32)
    assert torch.equal(loaded(images), model(images))


@pytest.mark.parametrize(
    "network",
    [
        TRevSNN(channels=(4, 6), timesteps=2, num_classes=3),
        ReversibleMSResNet(channels=(4, 4, 4), blocks=(1, 1, 1), timesteps=2, num_classes=3),
    ],
    ids=lambda network: type(network).__name__,
)
def test_a_network_that_was_built_without_a_name_comes_back(network, tmp_path):
    save_weights(network, tmp_path / "m.safetensors", network.described())
    loaded, _ = load_weights(tmp_path / "m.safetensors")
    images = torch.randn(2, 3, 32, 32)
    assert type(loaded) is type(network)
    assert torch.equal(loaded(images), network.eval()(images))


def test_shared_parameters_are_written_once_and_shared_again(saved):
    model, path = saved
    assert len(load_file(path)) < len(model.state_dict())
    loaded, _ = load_weights(path)
    assert len(list(loaded.parameters())) == len(list(model.parameters()))


def test_only_what_is_there_is_described(tmp_path):
    model = create_model("trevsnn_digits", **OPTIONS)
    save_weights(model, tmp_path / "m.safetensors", WeightsInfo(model="trevsnn_digits", options=OPTIONS))
    info = read_weights_info(tmp_path / "m.safetensors")
    assert info.dataset is None
    assert info.class_names is None


def test_bad_files_are_named(saved, tmp_path):
    _, path = saved
    with pytest.raises(ValueError, match=r"nowhere\.safetensors' does not exist"):
        load_weights(tmp_path / "nowhere.safetensors")

    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"cut\.safetensors' is cut off"):
        load_weights(cut)

    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(3)}, foreign)
    with pytest.raises(ValueError, match=r"foreign\.safetensors' was not written by trevsnn"):
        load_weights(foreign)

    metadata = {"trevsnn_format": "1", "model": "trevsnn_digits", "options": json.dumps(OPTIONS)}
    save_file({"weight": torch.zeros(3)}, foreign, metadata)
    with pytest.raises(ValueError, match=r"foreign\.safetensors' does not fit its network: .*weight"):
        load_weights(foreign)
    save_file({"weight": torch.zeros(3)}, foreign, {**metadata, "model": "trevsnn_digit"})
    with pytest.raises(ValueError, match=r"foreign\.safetensors' .*did you mean 'trevsnn_digits'"):
        load_weights(foreign)
    save_file({"weight": torch.zeros(3)}, foreign, {**metadata, "trevsnn_format": "99"})
    with pytest.raises(ValueError, match="has format 99"):
        load_weights(foreign)
    save_file({"weight": torch.zeros(3)}, foreign, {**metadata, "options": "{"})
    with pytest.raises(ValueError, match="metadata that cannot be read"):
        load_weights(foreign)


def test_a_note_in_any_script_comes_back(saved):
    model, path = saved
    for note in ("été 猫", 'a\n"b"'):
        save_weights(model, path, weights_info("trevsnn_digits", model.config, note=note))
        assert read_weights_info(path).note == note


def test_a_disk_that_cannot_be_written_is_the_systems_error_and_an_old_file_stays(saved, monkeypatch):
    model, path = saved
    before = path.read_bytes()

    def fail(*_):
        raise SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr("trevsnn.models.weights.save_model", fail)
    with pytest.raises(OSError, match=r"cannot be written, an old one stays: I/O error: No space left on device"):
        save_weights(model, path, model.described())
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
