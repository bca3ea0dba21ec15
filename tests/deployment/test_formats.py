"""What all formats have in common, and torch.export and safetensors."""

import json

import pytest
import torch
from helpers import relative_error

from trevsnn import create_model
from trevsnn.deployment import export_nir, export_onnx, export_program, export_safetensors
from trevsnn.models import load_weights, weights_info

NETWORKS = [
    {"threshold": 0.3, "channels": (8, 12), "timesteps": 2, "depth": 4},
    {"two_stream": True, "channels": (8, 12), "timesteps": 2, "depth": 4},
    {"name": "trevsnn_dvs", "timesteps": 3, "depth": 3},
]
EXPORTS = {
    "onnx": lambda model, path: export_onnx(model, path, (32, 32)),
    "torch-export": lambda model, path: export_program(model, path, (32, 32)),
    "safetensors": export_safetensors,
    "nir": lambda model, path: export_nir(model, path, (32, 32)),
}


@pytest.mark.parametrize("options", NETWORKS, ids=str)
def test_a_program_has_the_networks_logits(build, inputs, tmp_path, options):
    model = build(**options)
    info = weights_info("trevsnn_tiny", model.config, class_names=tuple("abcde"))
    export_program(model, tmp_path / "x.pt2", (32, 32), info)
    extra = {"metadata.json": ""}
    with (tmp_path / "x.pt2").open("rb") as file:
        program = torch.export.load(file, extra_files=extra)
    for batch in (1, 3):
        x = inputs(model, batch)
        with torch.no_grad():
            assert relative_error(program.module()(x), model(x)) <= 1e-4
    metadata = json.loads(extra["metadata.json"])
    assert json.loads(metadata["class_names"]) == list("abcde")
    assert json.loads(metadata["input_size"]) == [model.config.in_chans, 32, 32]
    kinds = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert "aten.ge.Scalar" in kinds
    assert not any("trevsnn" in kind for kind in kinds), "operators of PyTorch alone"


@pytest.mark.parametrize("options", NETWORKS, ids=str)
def test_folded_weights_come_back_as_the_folded_network(build, inputs, tmp_path, options):
    model, path = build(**options), tmp_path / "x.safetensors"
    name = options.get("name", "trevsnn_tiny")
    info = weights_info(name, model.config, class_names=tuple("abcde"), preprocessing={"mean": [0.5]}, note="a note")
    export_safetensors(model, path, info)
    loaded, about = load_weights(path)
    x = inputs(model)
    with torch.no_grad():
        assert torch.equal(loaded(x), model.fold()(x))
        assert torch.equal(create_model(name, checkpoint=path).eval()(x), loaded(x))
    assert about.folded
    assert (about.model, about.class_names, about.preprocessing, about.note) == (
        name,
        tuple("abcde"),
        {"mean": [0.5]},
        "a note",
    )
    with pytest.raises(ValueError, match="folded already"):
        export_safetensors(loaded, path)


@pytest.mark.parametrize("name", EXPORTS)
def test_a_file_is_replaced_at_once_or_not_at_all(build, tmp_path, monkeypatch, name):
    model = build(timesteps=1)
    path = tmp_path / "file"
    path.write_text("old")

    def full_disk(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("trevsnn._util.files.os.fsync", full_disk)
    with pytest.raises(OSError, match="no space left"):
        EXPORTS[name](model, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    EXPORTS[name](model, path)
    assert path.stat().st_size > 1000
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", EXPORTS)
def test_the_network_itself_is_unchanged(build, tmp_path, name):
    model = build(timesteps=1).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    EXPORTS[name](model, tmp_path / "file")
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
