"""What a run does, shows and leaves behind."""

import io
import json
import math
from dataclasses import replace

import pytest
from rich.console import Console
from runs import CONFIG, HEADING, accuracy_of, quiet_console

from trevsnn.data import BadImageError, PixelSamples
from trevsnn.models import load_weights
from trevsnn.training import RunFolder, train


def test_run_folder_is_complete(finished, few_digits):
    run, row, _ = finished
    files = "best.safetensors checkpoints config.toml confusion.png metrics.jsonl model.safetensors samples start.txt"
    assert {file.name for file in run.path.iterdir()} == {*files.split(), "tensorboard", "data.json"}
    assert [line["epoch"] for line in run.read_metrics()] == [1, 2, 3]
    assert run.read_metrics()[-1] == row
    _, info = load_weights(run.weights)
    assert info.class_names == few_digits.class_names
    assert info.note == "epoch 3 of 3"
    assert accuracy_of(run.weights, few_digits) == row["test_accuracy"]


def test_best_weights_are_those_of_the_best_epoch(finished, few_digits):
    run, _, _ = finished
    accuracies = [line["test_accuracy"] for line in run.read_metrics()]
    assert accuracy_of(run.best, few_digits) == max(accuracies)
    note = load_weights(run.best)[1].note
    assert note.startswith(f"epoch {1 + accuracies.index(max(accuracies))} of 3, the best so far by the accuracy on")


def test_the_last_checkpoints_are_kept(finished, tmp_path, few_digits, quiet):
    assert [file.name for file in finished[0].saved_states()] == ["step-0000000009.pt", "step-0000000006.pt"]
    run = RunFolder(tmp_path / "run")
    train(replace(CONFIG, keep_checkpoints=3), few_digits, run, console=quiet)
    assert len(run.saved_states()) == 3


def test_metrics_are_json_lines(finished):
    run, _, _ = finished
    for line in run.metrics.read_text().splitlines():
        assert {"epoch", "loss", "lr", "test_accuracy", "images_per_second", "peak_memory_bytes"} <= json.loads(
            line
        ).keys()


def test_equal_runs_write_equal_files(tmp_path, few_digits, finished, quiet):
    run = RunFolder(tmp_path / "run")
    train(CONFIG, few_digits, run, console=quiet)
    assert run.weights.read_bytes() == finished[0].weights.read_bytes()


def test_progress_is_one_line_per_epoch_without_a_terminal(finished):
    _, row, text = finished
    lines = text.splitlines()
    assert len(lines) == 3 + HEADING
    assert lines[-1].startswith("epoch 3/3  loss")
    for part in (f"{row['test_accuracy']:.2%}", "images/s", "peak RSS", "0:00 left"):
        assert part in lines[-1]


def test_live_bar_on_a_terminal(tmp_path, few_digits):
    console = Console(file=io.StringIO(), force_terminal=True, width=160)
    train(replace(CONFIG, epochs=1), few_digits, RunFolder(tmp_path / "run"), console=console)
    text = console.file.getvalue()
    for part in ("epoch 1/1", "loss", "acc", "images/s", "peak RSS"):
        assert part in text


def test_long_epochs_get_lines_in_between(tmp_path, few_digits, monkeypatch):
    monkeypatch.setattr("trevsnn.training.progress.BETWEEN_LINES", 0.0)
    console = quiet_console()
    train(replace(CONFIG, epochs=1), few_digits, RunFolder(tmp_path / "run"), console=console)
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 4 + HEADING
    for part in ("epoch 1/1  step 2/3  loss ", "lr ", "images/s", "peak RSS", " left"):
        assert part in lines[1 + HEADING]


def test_the_rate_rises_and_falls_along_the_cosine_of_the_whole_run(finished, shown):
    """Warm-up takes its epoch's steps; the cosine, which began with the run, ends at min_lr after the last step."""
    top, low = CONFIG.lr, CONFIG.min_lr
    cosine = [low + (top - low) * (1 + math.cos(math.pi * step / 9)) / 2 for step in range(10)]
    warm_up = [CONFIG.warmup_lr + (top - CONFIG.warmup_lr) * step / 3 for step in range(3)]
    assert [lr for *_, lr, _ in shown] == pytest.approx([*warm_up, *cosine[3:]][1:])


def test_the_speed_shown_is_that_of_the_epoch_so_far(finished, shown):
    _, row, _ = finished
    assert [epoch for epoch, *_ in shown] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert shown[-1][1:3] == (row["loss"], row["images_per_second"])
    assert row["images_per_second"] * row["seconds"] == pytest.approx(48)


def test_lamb_and_plain_weights(tmp_path, few_digits, quiet):
    config = replace(CONFIG, epochs=1, optimizer="lamb", ema_decay=0.0)
    run = RunFolder(tmp_path / "run")
    row = train(config, few_digits, run, console=quiet)
    assert accuracy_of(run.weights, few_digits) == row["test_accuracy"]


@pytest.mark.parametrize(
    "option", [{"precision": "fp16"}, {"channels_last": True}, {"mixup": 1.0, "cutmix": 1.0}], ids=str
)
def test_other_ways_to_train(tmp_path, few_digits, quiet, option):
    run = RunFolder(tmp_path / "run")
    train(replace(CONFIG, epochs=1, **option), few_digits, run, console=quiet)
    model, _ = load_weights(run.weights)
    assert all(value.isfinite().all() for value in model.state_dict().values())
    state = run.load_state()[1]["learner"]
    assert bool(state["scaler"]) == ("precision" in option)


class Damaged(PixelSamples):
    """Digits of which one cannot be opened."""

    def open(self, index, channels):
        if index == 5:
            raise BadImageError("image 5 is damaged")
        return super().open(index, channels)


def test_bad_images_stop_the_run_or_are_listed(tmp_path, few_digits, quiet):
    train_samples = Damaged(few_digits.train.pixels, few_digits.train.labels)
    dataset, run = replace(few_digits, train=train_samples), RunFolder(tmp_path / "run")
    with pytest.raises(BadImageError, match=r"image 5 is damaged; .*--skip-bad-images"):
        train(CONFIG, dataset, run, console=quiet)
    row = train(replace(CONFIG, skip_bad_images=True), dataset, run, resume=True, console=quiet)
    assert row["bad_images"] == 1
    assert run.bad_images.read_text() == "image 5 is damaged\n"
