"""Training that starts from the weights of another run."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from trevsnn.data import load_dataset
from trevsnn.models import LoadReport
from trevsnn.training import Learner, RunFolder, TrainConfig, train

CONFIG = TrainConfig(
    epochs=3, batch_size=16, channels=(4, 4, 8, 8), timesteps=2, device="cpu", warmup_epochs=0, ema_decay=0.9
)


def quiet():
    return Console(file=io.StringIO(), width=200)


@pytest.fixture(scope="module")
def source(tmp_path_factory, few_digits):
    run = RunFolder(tmp_path_factory.mktemp("runs") / "source")
    train(CONFIG, few_digits, run, console=quiet())
    return run


def test_everything_is_kept_for_the_same_classes(source, few_digits):
    learner = Learner(TrainConfig(batch_size=16, device="cpu", weights=source.best), few_digits)
    assert learner.load_report is not None
    assert learner.load_report == LoadReport(loaded=learner.load_report.loaded)
    assert learner.model.config.channels == (4, 4, 8, 8), "the options come with the weights"
    assert learner.model_name == "trevsnn_digits"


@pytest.mark.parametrize("names", [tuple("abcdefghij"), tuple("0123456789x")])
def test_the_classifiers_are_new_for_other_classes(source, few_digits, names):
    learner = Learner(replace(CONFIG, weights=source.path), replace(few_digits, class_names=names))
    report = learner.load_report
    assert report is not None
    heads = [name for name, _ in learner.model.named_parameters() if name.startswith(("head.", "aux_heads."))]
    assert set(report.replaced) == set(heads)
    assert report.missing == report.unknown == []
    assert len(report.loaded) > 50


def test_other_options_keep_what_fits_and_say_so(tmp_path, source, few_digits):
    console = quiet()
    config = replace(CONFIG, weights=source.path, timesteps=3, kernel_size=5, epochs=1)
    train(config, few_digits, RunFolder(tmp_path / "run"), console=console)
    text = console.file.getvalue()
    assert re.search(r"^  loaded        \d+ of \d+ tensors$", text, re.MULTILINE)
    words = " ".join(text.split())
    assert f"weights {source.path}, of digits at 1 x 32 x 32" in words
    assert "new grid.cells.0-1.0-3.blocks.0-1.depthwise.weight" in words
    assert "grid.cells.2 (" in words
    report = (tmp_path / "run" / "start.txt").read_text().splitlines()
    assert "grid.cells.2.0.blocks.0.depthwise.weight: new, not in the file" in report
    assert "stem.conv1.weight: loaded" in report


def test_a_network_with_nothing_in_common_is_refused(source, few_digits):
    config = replace(CONFIG, weights=source.path, channels=(5, 6, 7, 9), aux_heads=False)
    Learner(config, few_digits)  # the stem's bias and some scalars fit still
    with pytest.raises(ValueError, match="is not a run folder"):
        Learner(replace(CONFIG, weights=source.checkpoints), few_digits)


def test_a_run_that_was_stopped_before_its_first_checkpoint_starts_from_them_again(tmp_path, source, few_digits):
    run, console = RunFolder(tmp_path / "run"), quiet()
    config = replace(CONFIG, weights=source.path, epochs=1)
    with run.locked():
        run.create(config, few_digits)
    train(config, few_digits, run, resume=True, console=console)
    assert "tensors" in console.file.getvalue()


def test_a_continued_run_does_not_need_them_any_more(tmp_path, source, few_digits):
    weights, run = tmp_path / "w.safetensors", RunFolder(tmp_path / "run")
    weights.write_bytes(source.best.read_bytes())
    config = replace(CONFIG, weights=weights, channels=None, timesteps=None)
    train(config, few_digits, run, console=quiet())
    run.saved_states()[0].unlink()
    weights.unlink()
    train(TrainConfig(**run.read_config()[1]), few_digits, run, resume=True, console=quiet())
    assert len(run.read_metrics()) == 3


@pytest.mark.slow
def test_fewer_epochs_to_98_percent_than_from_scratch(tmp_path):
    """The second run has other names for the classes, so that all its classifiers are new."""
    digits = load_dataset("digits")
    config = TrainConfig(
        epochs=14, timesteps=1, device="cpu", lr=1e-2, warmup_epochs=2, weight_decay=0.2, clip_grad=0.2, ema_decay=0.97,
        rotation=10.0, shift=0.08, zoom=0.1,
    )  # fmt: skip
    first, second = RunFolder(tmp_path / "first"), RunFolder(tmp_path / "second")
    train(config, digits, first, console=quiet())
    renamed = replace(digits, class_names=tuple(f"digit {name}" for name in digits.class_names))
    train(replace(config, epochs=2, weights=first.path), renamed, second, console=quiet())
    scratch, tuned = ([row["test_accuracy"] for row in run.read_metrics()] for run in (first, second))
    assert max(scratch) >= 0.98
    assert max(tuned) >= 0.98
    assert epochs_to(tuned) < epochs_to(scratch)


def epochs_to(accuracies, wanted=0.98):
    """Number of epochs until an accuracy is reached."""
    return next(epoch for epoch, accuracy in enumerate(accuracies, start=1) if accuracy >= wanted)
