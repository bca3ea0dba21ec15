"""What adorns a run is no reason to end it."""

import io
from dataclasses import replace

import pytest
import torch
from rich.console import Console
from torch.utils import tensorboard

from trevsnn.data import PixelSamples, load_dataset
from trevsnn.plots import confusion as confusion_module
from trevsnn.training import RunFolder, TrainConfig, train
from trevsnn.training import run_state as run_state_module

CONFIG = TrainConfig(
    epochs=2,
    batch_size=16,
    channels=(4, 4),
    timesteps=1,
    warmup_epochs=0.0,
    device="cpu",
    workers=0,
    model="trevsnn_digits",
)


def fail(*_, **__):
    raise RuntimeError("on\npurpose")


@pytest.fixture(scope="module")
def digits():
    whole = load_dataset("digits")
    some = [PixelSamples(x.pixels[:32], x.labels[:32]) for x in (whole.train, whole.test)]
    return replace(whole, train=some[0], test=some[1])


def run_with_output(digits, folder):
    text = io.StringIO()
    row = train(CONFIG, digits, RunFolder(folder), console=Console(file=text, width=200))
    return row, text.getvalue()


@pytest.mark.parametrize(
    ("target", "name", "line"),
    [
        (tensorboard, "SummaryWriter", "the log for TensorBoard could not be written: on purpose"),
        (tensorboard.SummaryWriter, "add_scalar", "the log for TensorBoard could not be written: on purpose"),
        (RunFolder, "_write_sample", "samples could not be written: on purpose"),
        (confusion_module, "confusion_figure", "the confusion matrix could not be written: on purpose"),
    ],
    ids=["tensorboard", "a value of it", "samples", "confusion"],
)
def test_a_decoration_that_fails_is_one_warning(digits, tmp_path, monkeypatch, target, name, line):
    monkeypatch.setattr(target, name, fail)
    row, text = run_with_output(digits, tmp_path / "run")
    assert row["epoch"] == 2
    assert text.count(f"warning: {line}; all else goes on\n") == 1
    assert torch.isfinite(torch.tensor(row["loss"]))
    assert RunFolder(tmp_path / "run").weights.is_file()


def test_samples_of_classes_with_long_names(digits, tmp_path):
    names = tuple(letter * 255 for letter in "abcdefgh") + ("日本" * 100, "x/y")
    _, text = run_with_output(replace(digits, class_names=names), tmp_path / "run")
    assert "could not be written" not in text
    samples = sorted(file.stem for file in RunFolder(tmp_path / "run").samples.iterdir())
    assert samples == [letter * 200 for letter in "abcdefgh"]


def test_weights_are_no_decoration(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(run_state_module, "save_weights", fail)
    with pytest.raises(RuntimeError, match="on\npurpose"):
        run_with_output(digits, tmp_path / "run")
