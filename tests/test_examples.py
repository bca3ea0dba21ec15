"""The programs in examples/ do what they say, with less work."""

import importlib.util
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_is_short_and_has_a_test():
    files = {file.stem: file.read_text(encoding="utf-8") for file in EXAMPLES.glob("*.py")}
    assert files.keys() == {"own_network", "training_loop", "event_stream", "onnx_production"}
    assert all(len(text.splitlines()) <= 60 for text in files.values())


def test_own_network_learns():
    assert load("own_network").main(epochs=2) > 0.5


def test_training_loop_learns():
    pytest.importorskip("accelerate")
    assert load("training_loop").main(epochs=1, channels=(16,)) > 0.2


def test_event_stream_decides_once_a_clip():
    module = load("event_stream")
    classes = module.main(seconds=0.2)
    assert len(classes) == 0.2e6 // module.WINDOW // module.TIMESTEPS
    assert set(classes) <= set(range(11))


def test_onnx_production_names_a_class_for_each_picture():
    pytest.importorskip("onnxruntime")
    assert len(load("onnx_production").main()) == 3
