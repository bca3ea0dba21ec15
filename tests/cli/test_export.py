import json
import shutil
import sys

import onnx
import onnxruntime
import pytest
import torch
from helpers import documented_functions
from tolerances import assert_close

from trevsnn.cli.open_run import load_trained
from trevsnn.data import load_dataset
from trevsnn.models import load_weights


def test_export_to_onnx_runs_as_the_network_does(trevsnn, digits_run, tmp_path):
    file, table = tmp_path / "x.onnx", tmp_path / "x.json"
    code, text, _ = trevsnn("export", digits_run, "--to", "onnx", "--output", file, "--test", "--json", table)
    assert code == 0
    assert str(file) in text
    network, exported = json.loads(table.read_text())
    assert exported["bytes"] == file.stat().st_size
    assert (exported["images"], network["images"]) == (360, 360)
    assert exported["test_accuracy"] == network["test_accuracy"]

    trained = load_trained(digits_run, torch.device("cpu"))
    dataset = load_dataset("digits")
    images = torch.stack([trained.preprocessing.transform()(dataset.test.open(i, 1)) for i in range(5)])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options)
    with torch.no_grad():
        expected = trained.model(images)
    assert_close(torch.from_numpy(session.run(None, {"input": images.numpy()})[0]), expected, "exported")
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["class_names"]) == list(dataset.class_names)
    assert json.loads(metadata["preprocessing"])["mean"] == [0.5]


def test_the_page_about_onnx_has_the_probabilities_of_predict(trevsnn, digits_run, tmp_path):
    file, table = tmp_path / "x.onnx", tmp_path / "x.json"
    assert trevsnn("export", digits_run, "--to", "onnx", "--output", file)[0] == 0
    by_hand, samples = documented_functions("deployment.md"), sorted((digits_run / "samples").iterdir())
    assert len(samples) == 8
    assert trevsnn("predict", digits_run, *samples, "--json", table)[0] == 0
    for sample, row in zip(samples, json.loads(table.read_text()), strict=True):
        found = by_hand.probabilities(file, sample, by_hand.picture_input)
        assert found.keys() == row["probabilities"].keys()
        assert_close(*(torch.tensor(list(x.values())) for x in (found, row["probabilities"])), "exported")


def test_int8_is_smaller_and_calibrated_on_training_images(trevsnn, digits_run, tmp_path):
    files = {}
    for name, options in {"fp32": [], "int8": ["--int8"], "few": ["--int8", "--calibration-images", 1]}.items():
        files[name] = tmp_path / f"{name}.onnx"
        table = tmp_path / "table.json"
        tokens = ["--to", "onnx", "--output", files[name], "--test", "--json", table, *options]
        assert trevsnn("export", digits_run, *tokens)[0] == 0
        network, file = json.loads(table.read_text())
        assert file["bytes"] == files[name].stat().st_size
        assert abs(file["test_accuracy"] - network["test_accuracy"]) <= (0.02 if options else 0)
    kinds = {node.op_type for node in onnx.load(files["int8"]).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    assert files["int8"].read_bytes() != files["few"].read_bytes()


def test_files_get_names_of_their_own(trevsnn, digits_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(digits_run, run)
    before = {path.name for path in run.iterdir()}
    for options in (["onnx"], ["onnx", "--int8"], ["torch-export"], ["safetensors"], ["nir"]):
        assert trevsnn("export", run, "--to", *options)[0] == 0
    assert trevsnn("export", run / "best.safetensors", "--to", "onnx")[0] == 0
    assert {path.name for path in run.iterdir()} - before == {
        "model.onnx",
        "model-int8.onnx",
        "model.pt2",
        "model-folded.safetensors",
        "model.nir",
        "best.onnx",
    }
    code, folded, _ = trevsnn("eval", run / "model-folded.safetensors")
    assert code == 0
    assert "360" in folded
    assert load_weights(run / "model-folded.safetensors")[1].folded
    code, _, error = trevsnn("export", run / "model-folded.safetensors", "--to", "onnx")
    assert (code, "folded already" in error) == (2, True)
    code, _, error = trevsnn("train", "digits", "--weights", run / "model-folded.safetensors", "--dry-run")
    assert (code, "are folded" in error) == (2, True)


def test_an_unfinished_run_is_refused_but_its_weights_are_not(trevsnn, digits_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(digits_run, run)
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace("epochs = 1\n", "epochs = 3\n", 1))
    code, _, error = trevsnn("export", run, "--to", "onnx")
    assert code == 2
    assert "has done 1 of 3 epochs" in error
    assert f"trevsnn train digits --resume {run}" in error
    assert "best.safetensors" in error
    assert trevsnn("export", run / "best.safetensors", "--to", "onnx", "--output", tmp_path / "x.onnx")[0] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("onnx --opset 9", "opset=9 is too old"),
        ("onnx --opset 1000", "opset=1000 is newer"),
        ("nir --opset 18", "opset=18 is for --to onnx"),
        ("nir --int8", "int8=True is for --to onnx"),
        ("safetensors --test", "test=True is for --to onnx"),
        ("torch-export --spike-op comparison", "spike_op='comparison' is for --to onnx"),
        ("onnx --int8 --spike-op hard-sigmoid", "spike_op='hard-sigmoid' is for float32"),
        ("onnx --int8 --calibration-images 0", "calibration_images=0 must be at least 1"),
        ("onnx --output nowhere/x.onnx", "'nowhere' does not exist"),
        ("onnx --output .", "is a folder"),
        ("onnx --json nowhere/x.json", "'nowhere' does not exist"),
        ("tflite", "torch-export"),
    ],
)
def test_refused(trevsnn, digits_run, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    output = "" if "--output" in options else "--output x"
    code, _, error = trevsnn("export", digits_run, *f"{output} --to {options}".split())
    assert code == 2
    assert message in error
    assert error.count("\n") == 1
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "package", "extra"),
    [("onnx", "onnx", "onnx"), ("nir", "nir", "nir"), ("onnx --test", "onnxruntime", "onnx")],
)
def test_without_an_optional_package(trevsnn, digits_run, tmp_path, monkeypatch, options, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    code, _, error = trevsnn("export", digits_run, "--output", tmp_path / "x", "--to", *options.split())
    assert code == 2
    assert f"the package '{package}' is not installed; install it: pip install 'trevsnn[{extra}]'" in error
    assert not any(tmp_path.iterdir())


def test_the_weights_themselves_are_not_written_over(trevsnn, digits_run):
    before = (digits_run / "model.safetensors").read_bytes()
    code, _, error = trevsnn("export", digits_run, "--to", "safetensors", "--output", digits_run / "model.safetensors")
    assert (code, "holds the weights themselves" in error) == (2, True)
    assert (digits_run / "model.safetensors").read_bytes() == before
