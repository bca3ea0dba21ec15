import io
import json
import shutil
from dataclasses import replace

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from trevsnn.training import Learner, NonFiniteError, RunFolder, TrainConfig, evaluate, load_weights, train
from trevsnn.training import loop as loop_module

CONFIG = TrainConfig(
    epochs=3,
    batch_size=16,
    warmup_epochs=1,
    channels=(4, 4, 8, 8),
    timesteps=2,
    drop_rate=0.1,
    drop_path_rate=0.1,
    device="cpu",
)


class Stop(BaseException):
    """Like SIGKILL, runs no handler of the loop."""


@pytest.fixture
def quiet():
    return Console(file=io.StringIO(), width=200)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, few_digits):
    run = RunFolder(tmp_path_factory.mktemp("runs") / "whole")
    console = Console(file=io.StringIO(), width=200)
    row = train(CONFIG, few_digits, run, console=console)
    return run, row, console.file.getvalue()


def assert_same_weights(run, expected):
    actual = load_file(run.weights)
    assert actual.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in actual.items())


def train_until_stopped(few_digits, run, quiet, monkeypatch, epoch, step):
    """Train until an abrupt end before a step."""
    with monkeypatch.context() as patch:
        stop_in(epoch, step, patch)
        with pytest.raises(Stop):
            train(CONFIG, few_digits, run, console=quiet)


def stop_in(epoch, step, monkeypatch):
    original, calls = Learner.step, 0

    def stopping(self, *batch):
        nonlocal calls
        calls += 1
        if calls == (epoch - 1) * self.steps_per_epoch + step:
            raise Stop
        return original(self, *batch)

    monkeypatch.setattr(Learner, "step", stopping)


def test_run_folder_is_complete(finished, few_digits):
    run, row, _ = finished
    assert {file.name for file in run.path.iterdir()} == {
        "config.toml", "metrics.jsonl", "model.safetensors", "samples", "tensorboard", "training_state.pt",
    }  # fmt: skip
    assert [line["epoch"] for line in run.read_metrics()] == [1, 2, 3]
    assert run.read_metrics()[-1] == row
    model, info = load_weights(run.weights)
    assert info.class_names == few_digits.class_names
    assert evaluate(model, few_digits, few_digits.test).accuracy == row["test_accuracy"]


def test_progress_is_one_line_per_epoch_without_a_terminal(finished):
    _, row, text = finished
    lines = text.splitlines()
    assert len(lines) == 3
    assert lines[-1].startswith("epoch 3/3  loss")
    for part in (f"{row['test_accuracy']:.2%}", "images/s", "peak RSS", "0:00 left"):
        assert part in lines[-1]


def test_live_bar_on_a_terminal(tmp_path, few_digits):
    console = Console(file=io.StringIO(), force_terminal=True, width=160)
    train(replace(CONFIG, epochs=1), few_digits, RunFolder(tmp_path / "run"), console=console)
    text = console.file.getvalue()
    for part in ("epoch 1/1", "loss", "acc", "images/s", "peak RSS"):
        assert part in text


@pytest.mark.parametrize(("epoch", "step"), [(1, 2), (2, 1), (3, 3)])
def test_resumed_run_ends_with_the_same_weights(tmp_path, few_digits, finished, quiet, monkeypatch, epoch, step):
    whole, row, _ = finished
    run = RunFolder(tmp_path / "run")
    train_until_stopped(few_digits, run, quiet, monkeypatch, epoch, step)
    assert len(run.read_metrics()) == epoch - 1
    resumed = train(CONFIG, few_digits, run, resume=True, console=quiet)
    assert [line["epoch"] for line in run.read_metrics()] == [1, 2, 3]
    assert resumed["test_accuracy"] == row["test_accuracy"]
    assert_same_weights(run, load_file(whole.weights))


@pytest.mark.parametrize("file", ["weights", "metrics"])
def test_run_stopped_between_files_is_brought_in_line(tmp_path, few_digits, finished, quiet, monkeypatch, file):
    """The state of the last epoch is written, what follows from it is not."""
    run = RunFolder(tmp_path / "run")
    owner, name = (RunFolder, "write_metrics") if file == "metrics" else (loop_module, "save_weights")
    original = getattr(owner, name)

    def failing(*args):
        if torch.load(run.state)["learner"]["steps"] == 9:
            raise Stop
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, failing)
        with pytest.raises(Stop):
            train(CONFIG, few_digits, run, console=quiet)
    train(CONFIG, few_digits, run, resume=True, console=quiet)
    assert len(run.read_metrics()) == 3
    assert_same_weights(run, load_file(finished[0].weights))


def test_resume_of_a_finished_run_changes_nothing(few_digits, finished, quiet):
    run, row, _ = finished
    before = load_file(run.weights)
    assert train(CONFIG, few_digits, run, resume=True, console=quiet) == row
    assert_same_weights(run, before)


def test_resume_before_the_first_state_starts_anew(tmp_path, few_digits, finished, quiet):
    run = RunFolder(tmp_path / "run")
    with run.locked():
        run.create(CONFIG, few_digits)
    shutil.rmtree(run.samples)  # stopped in the middle of `create`
    train(CONFIG, few_digits, run, resume=True, console=quiet)
    assert_same_weights(run, load_file(finished[0].weights))
    assert len(list(run.samples.iterdir())) == 8


def test_equal_runs_write_equal_files(tmp_path, few_digits, finished, quiet):
    run = RunFolder(tmp_path / "run")
    train(CONFIG, few_digits, run, console=quiet)
    assert run.weights.read_bytes() == finished[0].weights.read_bytes()


def test_resume_without_the_state_keeps_what_was_trained(tmp_path, few_digits, finished, quiet):
    run = RunFolder(shutil.copytree(finished[0].path, tmp_path / "run"))
    run.state.unlink()
    with pytest.raises(ValueError, match=r"training_state\.pt' is missing"):
        train(CONFIG, few_digits, run, resume=True, console=quiet)
    assert_same_weights(run, load_file(finished[0].weights))
    assert len(run.read_metrics()) == 3


def test_resume_with_other_settings_is_refused(few_digits, finished, quiet):
    for other in ({"epochs": 9}, {"augment": False}, {"ema_decay": 0.0}, {"channels": (4, 4, 8, 12)}):
        (name,) = other
        with pytest.raises(ValueError, match=f"started with {name}=.*, not .*; leave that, or start a new run with"):
            train(replace(CONFIG, **other), few_digits, finished[0], resume=True, console=quiet)
    assert len(finished[0].read_metrics()) == 3


def test_one_training_at_a_time_in_a_folder(tmp_path, few_digits, quiet):
    run = RunFolder(tmp_path / "run")
    with run.locked(), pytest.raises(ValueError, match="in use by another training"):
        train(CONFIG, few_digits, run, console=quiet)
    train(replace(CONFIG, epochs=1), few_digits, run, console=quiet)


@pytest.mark.parametrize("part", ["samples", "tensorboard", "metrics.jsonl"])
def test_files_of_the_user_are_not_replaced(tmp_path, few_digits, quiet, part):
    run = RunFolder(tmp_path)
    (tmp_path / part).write_text("mine")
    with pytest.raises(ValueError, match=f"holds '{part}', which a run would replace"):
        train(CONFIG, few_digits, run, console=quiet)
    assert [file.name for file in tmp_path.iterdir()] == [part]


def test_a_full_disk_keeps_the_last_epoch(tmp_path, few_digits, quiet, monkeypatch):
    original, saves = torch.save, []

    def failing(state, path):
        saves.append(path)
        if len(saves) == 3:
            path.write_bytes(b"half")
            raise RuntimeError("[enforce fail] unexpected pos 64 vs 0\nframe #0: ...")
        original(state, path)

    monkeypatch.setattr(torch, "save", failing)
    run = RunFolder(tmp_path / "run")
    with pytest.raises(OSError, match=r"training_state\.pt' cannot be written, the old one stays") as error:
        train(CONFIG, few_digits, run, console=quiet)
    assert "\n" not in str(error.value)
    assert len(run.load_state()["history"]) == 1
    assert len(list(run.path.iterdir())) == 6, "no temporary file is left"


def test_divergence_in_the_last_step_of_an_epoch(tmp_path, few_digits, quiet):
    """No later loss shows that the weights are useless: the evaluation does."""
    run = RunFolder(tmp_path / "run")
    config = replace(CONFIG, batch_size=48, warmup_epochs=0, lr=1e30, clip_grad=0.0, ema_decay=0.0)
    with pytest.raises(NonFiniteError, match=r"epoch 1, step 1: the test loss .* keeps its first, untrained weights"):
        train(config, few_digits, run, console=quiet)
    model, _ = load_weights(run.weights)
    assert all(value.isfinite().all() for value in model.state_dict().values())


def test_a_batch_too_small_for_batchnorm_leaves_nothing_behind(tmp_path, few_digits, quiet):
    config = replace(CONFIG, channels=(4,) * 5, batch_size=1)
    with pytest.raises(ValueError, match="batch_size=1 leaves BatchNorm a single value per channel; use 2 or more"):
        train(config, few_digits, RunFolder(tmp_path / "run"), console=quiet)
    assert not any(tmp_path.iterdir())


def test_events_hold_each_epoch_once(tmp_path, few_digits, quiet, monkeypatch):
    run = RunFolder(tmp_path / "run")
    train_until_stopped(few_digits, run, quiet, monkeypatch, 3, 1)
    train(CONFIG, few_digits, run, resume=True, console=quiet)
    events = EventAccumulator(str(run.events)).Reload()
    assert [event.step for event in events.Scalars("test_accuracy")] == [1, 2, 3]
    assert {"loss", "lr", "test_loss"} <= set(events.Tags()["scalars"])


def test_divergence_keeps_the_last_epoch(tmp_path, few_digits, quiet, monkeypatch):
    original = loop_module.training_batches

    def poisoned(dataset, batch_size, seed, epoch, augment):
        for number, (images, labels) in enumerate(original(dataset, batch_size, seed, epoch, augment), start=1):
            yield (images * float("nan") if (epoch, number) == (2, 3) else images), labels

    monkeypatch.setattr(loop_module, "training_batches", poisoned)
    run = RunFolder(tmp_path / "run")
    with pytest.raises(NonFiniteError, match=r"epoch 2, step 3: the loss is nan; .*run keeps the weights of epoch 1"):
        train(CONFIG, few_digits, run, console=quiet)
    model, _ = load_weights(run.weights)
    assert all(value.isfinite().all() for value in model.state_dict().values())
    assert evaluate(model, few_digits, few_digits.test).accuracy == run.read_metrics()[-1]["test_accuracy"]
    assert len(run.read_metrics()) == 1


def test_infinite_gradient_stops_before_the_weights_change(few_digits):
    learner = Learner(CONFIG, few_digits)
    learner.model.head.linear1.bias.register_hook(lambda grad: grad * float("inf"))
    before = {name: value.clone() for name, value in learner.model.named_parameters()}
    with pytest.raises(NonFiniteError, match="gradient"):
        learner.step(few_digits.prepare(few_digits.train.pixels[:4]), few_digits.train.labels[:4])
    assert all(torch.equal(value, before[name]) for name, value in learner.model.named_parameters())


def test_taken_folder_is_refused_unless_overwritten(tmp_path, few_digits, finished, quiet):
    run, _, _ = finished
    with pytest.raises(ValueError, match=r"already holds a run; choose another --output, continue it with --resume"):
        train(CONFIG, few_digits, run, console=quiet)
    other = RunFolder(tmp_path / "run")
    other.path.mkdir()
    (other.path / "notes.txt").write_text("mine")
    train(replace(CONFIG, epochs=2), few_digits, other, console=quiet)
    train(replace(CONFIG, epochs=1), few_digits, other, overwrite=True, console=quiet)
    assert len(other.read_metrics()) == 1
    assert (other.path / "notes.txt").read_text() == "mine"
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file, not a folder"):
        train(CONFIG, few_digits, RunFolder(tmp_path / "file" / "run"), console=quiet)


@pytest.mark.parametrize(
    "bad", [{"model": "trevsnn_digit"}, {"timesteps": 0}, {"channels": (4,) * 9}, {"kernel_size": 4}], ids=str
)
def test_settings_that_cannot_work_leave_nothing_behind(tmp_path, few_digits, quiet, bad):
    with pytest.raises(ValueError, match=r"\S"):
        train(replace(CONFIG, **bad), few_digits, RunFolder(tmp_path / "deep" / "run"), console=quiet)
    assert not any(tmp_path.iterdir())


def test_foreign_state_is_named(tmp_path, few_digits, finished, quiet):
    run = RunFolder(tmp_path / "run")
    with run.locked():
        run.create(CONFIG, few_digits)
    whole = finished[0].state.read_bytes()
    for content in (whole[:1000], b"not a checkpoint", b""):
        run.state.write_bytes(content)
        with pytest.raises(ValueError, match=r"training_state\.pt"):
            train(CONFIG, few_digits, run, resume=True, console=quiet)
    torch.save({"weight": torch.zeros(2)}, run.state)
    with pytest.raises(ValueError, match=r"training_state\.pt' is not a training state"):
        train(CONFIG, few_digits, run, resume=True, console=quiet)
    run.state.write_bytes(whole)
    state = torch.load(io.BytesIO(whole))
    del state["learner"]["model"]["grid.decays.0.0"]
    torch.save(state, run.state)
    with pytest.raises(ValueError, match=r"run' cannot be continued: the state does not fit .*grid\.decays\.0\.0"):
        train(CONFIG, few_digits, run, resume=True, console=quiet)


def test_lamb_and_plain_weights(tmp_path, few_digits, quiet):
    config = replace(CONFIG, epochs=1, optimizer="lamb", ema_decay=0.0)
    run = RunFolder(tmp_path / "run")
    row = train(config, few_digits, run, console=quiet)
    model, _ = load_weights(run.weights)
    assert evaluate(model, few_digits, few_digits.test).accuracy == row["test_accuracy"]


def test_metrics_are_json_lines(finished):
    run, _, _ = finished
    for line in run.metrics.read_text().splitlines():
        assert {"epoch", "loss", "lr", "test_accuracy", "images_per_second", "peak_memory_bytes"} <= json.loads(
            line
        ).keys()
