"""Training that starts from the weights of another run."""

import re
from dataclasses import replace

import pytest
import torch
from runs import quiet_console
from tolerances import assert_close

from trevsnn.data import load_dataset
from trevsnn.models import LoadReport, create_model, load_weights, read_weights_info, save_weights, weights_info
from trevsnn.training import Learner, RunFolder, TrainConfig, train

CONFIG = TrainConfig(
    epochs=3, batch_size=16, channels=(4, 8), timesteps=2, device="cpu", warmup_epochs=0, ema_decay=0.9
)


@pytest.fixture(scope="module")
def source(tmp_path_factory, few_digits):
    run = RunFolder(tmp_path_factory.mktemp("runs") / "source")
    train(CONFIG, few_digits, run, console=quiet_console())
    return run


def test_everything_is_kept_for_the_same_classes(source, few_digits):
    learner = Learner(TrainConfig(batch_size=16, device="cpu", weights=source.best), few_digits)
    assert learner.load_report is not None
    assert learner.load_report == LoadReport(loaded=learner.load_report.loaded)
    assert learner.model.config.channels == (4, 8), "the options come with the weights"
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
    console = quiet_console()
    config = replace(CONFIG, weights=source.path, timesteps=3, kernel_size=5, epochs=1)
    train(config, few_digits, RunFolder(tmp_path / "run"), console=console)
    text = console.file.getvalue()
    assert re.search(r"^  loaded        \d+ of \d+ tensors$", text, re.MULTILINE)
    words = " ".join(text.split())
    assert f"weights {source.path}, of digits at 1 x 32 x 32" in words
    assert "new grid.cells.0-1.0-1.blocks.0-1.depthwise.weight" in words
    assert "grid.cells.2 (" in words
    report = (tmp_path / "run" / "start.txt").read_text().splitlines()
    assert "grid.cells.2.0.blocks.0.depthwise.weight: new, not in the file" in report
    assert "stem.conv1.weight: loaded" in report


def test_what_is_not_a_run_is_refused(source, few_digits):
    with pytest.raises(ValueError, match="is not a run folder"):
        Learner(replace(CONFIG, weights=source.checkpoints), few_digits)


def test_a_run_that_was_stopped_before_its_first_checkpoint_starts_from_them_again(tmp_path, source, few_digits):
    run, console = RunFolder(tmp_path / "run"), quiet_console()
    config = replace(CONFIG, weights=source.path, epochs=1)
    with run.locked():
        run.create(config, few_digits)
    train(config, few_digits, run, resume=True, console=console)
    assert "tensors" in console.file.getvalue()


def test_a_continued_run_does_not_need_them_any_more(tmp_path, source, few_digits):
    weights, run = tmp_path / "w.safetensors", RunFolder(tmp_path / "run")
    weights.write_bytes(source.best.read_bytes())
    config = replace(CONFIG, weights=weights, channels=None, timesteps=None)
    train(config, few_digits, run, console=quiet_console())
    run.saved_states()[0].unlink()
    weights.unlink()
    train(TrainConfig(**run.read_config()[1]), few_digits, run, resume=True, console=quiet_console())
    assert len(run.read_metrics()) == 3


@pytest.mark.slow
def test_fewer_epochs_to_90_percent_than_from_scratch(tmp_path):
    """The second run has other names for the classes, so that all its classifiers are new."""
    digits = load_dataset("digits")
    config = TrainConfig(
        epochs=4, timesteps=1, device="cpu", lr=1e-2, warmup_epochs=1, weight_decay=0.2, clip_grad=0.2, ema_decay=0.97,
        rotation=10.0, shift=0.08, zoom=0.1,
    )  # fmt: skip
    first, second = RunFolder(tmp_path / "first"), RunFolder(tmp_path / "second")
    train(config, digits, first, console=quiet_console())
    renamed = replace(digits, class_names=tuple(f"digit {name}" for name in digits.class_names))
    train(replace(config, epochs=1, warmup_epochs=0, weights=first.path), renamed, second, console=quiet_console())
    scratch, tuned = ([row["test_accuracy"] for row in run.read_metrics()] for run in (first, second))
    assert scratch[0] < 0.9 <= max(scratch)
    assert tuned[0] >= 0.9


@pytest.fixture(scope="module")
def at_48(tmp_path_factory, few_digits):
    """A run at another size than the data's own."""
    run = RunFolder(tmp_path_factory.mktemp("runs") / "at-48")
    train(replace(CONFIG, epochs=1, image_size=48), few_digits, run, console=quiet_console())
    return run


def coloured(digits):
    """As pictures of a folder: of three channels."""
    return replace(
        digits, preprocessing=replace(digits.preprocessing, input_size=(3, 32, 32), mean=(0.5,) * 3, std=(0.5,) * 3)
    )


def test_weights_keep_their_input_size(tmp_path, at_48, few_digits):
    run, console = RunFolder(tmp_path / "run"), quiet_console()
    config = TrainConfig(batch_size=16, epochs=2, device="cpu", weights=at_48.path)
    train(config, few_digits, run, console=console)
    assert "input           1 x 48 x 48 (as the weights were trained)" in console.file.getvalue()
    assert run.read_config()[1]["image_size"] == 48
    assert read_weights_info(run.weights).preprocessing["input_size"] == [1, 48, 48]
    run.saved_states()[0].unlink()
    train(TrainConfig(**run.read_config()[1]), few_digits, run, resume=True, console=quiet_console())
    assert Learner(replace(config, image_size=32), few_digits).preprocessing.input_size == (1, 32, 32)
    assert Learner(replace(config, model="trevsnn_tiny"), few_digits).preprocessing.input_size == (1, 48, 48)


def test_weights_of_grey_images_fit_colour_and_back(tmp_path, at_48, few_digits):
    """The first convolution does with grey pictures what it did."""
    config = TrainConfig(batch_size=16, epochs=1, device="cpu", weights=at_48.path)
    run, console = RunFolder(tmp_path / "run"), quiet_console()
    train(config, coloured(few_digits), run, console=console)
    assert "  fitted        the first convolution's kernels are spread over 3 channels" in console.file.getvalue()
    images = torch.rand(2, 1, 48, 48)
    grey = Learner(config, few_digits).model.eval()
    colour = Learner(config, coloured(few_digits))
    assert colour.load_report is not None
    assert colour.load_report.replaced == []
    with torch.no_grad():
        expected, actual = (
            model.stem(images.expand(-1, n, -1, -1)) for n, model in ((1, grey), (3, colour.model.eval()))
        )
        assert_close(actual, expected, "orders")
        again = Learner(replace(config, weights=run.path), few_digits)
        assert again.load_report is not None
        assert again.load_report.channels == (3, 1)
        trained = load_weights(run.weights)[0]
        expected, actual = trained.stem(images.expand(-1, 3, -1, -1)), again.model.eval().stem(images)
        assert_close(actual, expected, "orders")


def test_another_family_is_fitted_too(tmp_path):
    model = create_model("trev_ms_resnet_digits", in_chans=3, channels=(4, 4), blocks=(1, 1), timesteps=1).eval()
    save_weights(model, tmp_path / "w", weights_info("trev_ms_resnet_digits", model.config))
    grey = create_model("trev_ms_resnet_digits", checkpoint=tmp_path / "w", in_chans=1).eval()
    images = torch.rand(2, 1, 32, 32)
    torch.testing.assert_close(grey(images), model(images.expand(-1, 3, -1, -1)))
    with pytest.raises(ValueError, match=r"does not fit its network: .*conv"):
        create_model("trev_ms_resnet_digits", checkpoint=tmp_path / "w", in_chans=2)
