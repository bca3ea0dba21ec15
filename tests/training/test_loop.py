import io
import json
import math
import os
import shutil
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from trevsnn.data import BadImageError, PixelSamples, evaluation_batches
from trevsnn.models import load_weights
from trevsnn.models.baselines import BASELINES, spikingjelly_is_installed
from trevsnn.training import (
    Learner,
    NonFiniteError,
    RunFolder,
    StoppedError,
    TrainConfig,
    dump_config,
    evaluate,
    train,
)
from trevsnn.training import loop as loop_module
from trevsnn.training.config import parse_config
from trevsnn.training.progress import ProgressReporter
from trevsnn.training.run_state import fitting_batch, with_same_steps

CONFIG = TrainConfig(
    epochs=3,
    batch_size=16,
    warmup_epochs=1,
    channels=(4, 8),
    timesteps=2,
    depth=2,
    drop_rate=0.1,
    drop_path_rate=0.1,
    device="cpu",
    lr=0.01,
    clip_grad=0.2,
    ema_decay=0.9,
    rotation=10.0,
)
HEADING = 3
"""Lines before the first epoch's: data, model and input."""


class Stop(BaseException):
    """Like SIGKILL, runs no handler of the loop."""


@pytest.fixture
def quiet():
    return Console(file=io.StringIO(), width=200)


@pytest.fixture(scope="module")
def shown():
    """What the run of `finished` shows of every step: epoch, loss, images per second, learning rate, memory."""
    return []


@pytest.fixture(scope="module")
def finished(tmp_path_factory, few_digits, shown):
    run = RunFolder(tmp_path_factory.mktemp("runs") / "whole")
    console = Console(file=io.StringIO(), width=200)
    show = ProgressReporter.step

    def step(self, *values):
        shown.append(values)
        show(self, *values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ProgressReporter, "step", step)
        row = train(CONFIG, few_digits, run, console=console)
    return run, row, console.file.getvalue()


def assert_same_weights(run, expected):
    actual = load_file(run.weights)
    assert actual.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in actual.items())


def accuracy_of(file, dataset):
    model, _ = load_weights(file)
    return evaluate(model, evaluation_batches(dataset.test, dataset.preprocessing)).accuracy


def train_until_stopped(few_digits, run, quiet, monkeypatch, epoch, step, config=CONFIG):
    """Train until an abrupt end before a step."""
    with monkeypatch.context() as patch:
        stop_in(epoch, step, patch)
        with pytest.raises(Stop):
            train(config, few_digits, run, console=quiet)


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


@pytest.mark.parametrize(("epoch", "step"), [(1, 2), (2, 1), (3, 3)])
@pytest.mark.parametrize("minutes", [0.0, 10.0], ids=["every step saved", "every epoch saved"])
def test_resumed_run_ends_with_the_same_weights(
    tmp_path, few_digits, finished, quiet, monkeypatch, epoch, step, minutes
):
    whole, row, _ = finished
    run, config = RunFolder(tmp_path / "run"), replace(CONFIG, checkpoint_minutes=minutes)
    train_until_stopped(few_digits, run, quiet, monkeypatch, epoch, step, config)
    assert len(run.read_metrics()) == epoch - 1
    saved = 3 * (epoch - 1) + (step - 1 if minutes == 0 else 0)
    assert run.saved_states()[0].name == f"step-{saved:010d}.pt"
    resumed = train(config, few_digits, run, resume=True, console=quiet)
    assert [line["epoch"] for line in run.read_metrics()] == [1, 2, 3]
    for name in ("loss", "lr", "test_loss"):
        assert [line[name] for line in run.read_metrics()] == [line[name] for line in whole.read_metrics()]
    assert resumed["test_accuracy"] == row["test_accuracy"]
    assert_same_weights(run, load_file(whole.weights))
    assert run.best.read_bytes() == whole.best.read_bytes()


@pytest.mark.parametrize("model", ["trev_ms_resnet_digits", "ms_resnet_digits"])
def test_resumed_run_of_another_family_ends_with_the_same_weights(tmp_path, few_digits, quiet, monkeypatch, model):
    if model in BASELINES and not spikingjelly_is_installed():
        pytest.skip("SpikingJelly is not installed")
    config = replace(CONFIG, model=model, epochs=2, drop_rate=None, drop_path_rate=None)
    config = replace(config, channels=(4, 4, 8), blocks=(1, 1, 1), depth=None)
    whole, run = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "run")
    train(config, few_digits, whole, console=quiet)
    train_until_stopped(few_digits, run, quiet, monkeypatch, epoch=2, step=2, config=config)
    train(config, few_digits, run, resume=True, console=quiet)
    assert_same_weights(run, load_file(whole.weights))


@pytest.fixture
def interruptible():
    """The usual answer to Ctrl-C, which a shell that started the tests in the background takes away."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_in_the_middle_of_an_epoch(tmp_path, few_digits, finished, quiet, monkeypatch, number):
    run, original = RunFolder(tmp_path / "run"), Learner.step

    def signalled(self, batches):
        if self.steps == 4:
            signal.raise_signal(number)
        return original(self, batches)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", signalled)
        with pytest.raises(StoppedError) as stop:
            train(CONFIG, few_digits, run, console=quiet)
    assert stop.value.signal_number == number
    assert run.saved_states()[0].name == "step-0000000005.pt"
    train(CONFIG, few_digits, run, resume=True, console=quiet)
    assert_same_weights(run, load_file(finished[0].weights))


@pytest.mark.usefixtures("interruptible")
def test_a_second_interrupt_does_not_wait(tmp_path, few_digits, quiet, monkeypatch):
    def signalled(self, batches):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Learner, "step", signalled)
    with pytest.raises(KeyboardInterrupt):
        train(CONFIG, few_digits, RunFolder(tmp_path / "run"), console=quiet)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_work_in_the_background_goes_on_ignoring_ctrl_c(tmp_path, few_digits, quiet, monkeypatch):
    original = Learner.step

    def signalled(self, batches):
        signal.raise_signal(signal.SIGINT)
        return original(self, batches)

    monkeypatch.setattr(Learner, "step", signalled)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        train(replace(CONFIG, epochs=1), few_digits, RunFolder(tmp_path / "run"), console=quiet)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, few_digits, finished, quiet, monkeypatch):
    run = RunFolder(shutil.copytree(finished[0].path, tmp_path / "run"))
    run.saved_states()[0].write_bytes(run.saved_states()[0].read_bytes()[:1000])
    (run.checkpoints / ".step-0000000008.pt.tmp").write_bytes(b"left by a kill")
    console = Console(file=io.StringIO(), width=200)
    train(replace(CONFIG, keep_checkpoints=1), few_digits, run, resume=True, console=console)
    assert "warning: checkpoint step-0000000009.pt cannot be read" in console.file.getvalue()
    assert {file.name for file in run.checkpoints.iterdir()} == {"step-0000000009.pt", "step-0000000009.pt.damaged"}
    assert_same_weights(run, load_file(finished[0].weights))
    assert run.read_metrics()[:2] == finished[0].read_metrics()[:2]


@pytest.mark.parametrize("name", ["write_metrics", "save_state"])
def test_run_stopped_between_files_is_brought_in_line(tmp_path, few_digits, finished, quiet, monkeypatch, name):
    """The weights of the last epoch are written, what comes after them is not."""
    run = RunFolder(tmp_path / "run")
    original = getattr(RunFolder, name)

    def failing(self, *args, **options):
        if run.weights.exists() and load_weights(run.weights)[1].note == "epoch 3 of 3":
            raise Stop
        return original(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, name, failing)
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
    assert not run.saved_states(), "stopped before there was one"
    train(CONFIG, few_digits, run, resume=True, console=quiet)
    assert_same_weights(run, load_file(finished[0].weights))
    assert len(list(run.samples.iterdir())) == 8


def test_equal_runs_write_equal_files(tmp_path, few_digits, finished, quiet):
    run = RunFolder(tmp_path / "run")
    train(CONFIG, few_digits, run, console=quiet)
    assert run.weights.read_bytes() == finished[0].weights.read_bytes()


def test_resume_without_the_state_keeps_what_was_trained(tmp_path, few_digits, finished, quiet):
    run = RunFolder(shutil.copytree(finished[0].path, tmp_path / "run"))
    shutil.rmtree(run.checkpoints)
    with pytest.raises(ValueError, match=r"checkpoints' is empty, so the run cannot be continued"):
        train(CONFIG, few_digits, run, resume=True, console=quiet)
    assert_same_weights(run, load_file(finished[0].weights))
    assert len(run.read_metrics()) == 3


def test_resume_with_other_settings_is_refused(few_digits, finished, quiet):
    for other in ({"epochs": 9}, {"augment": False}, {"ema_decay": 0.0}, {"label_smoothing": 0.0}):
        (name,) = other
        with pytest.raises(ValueError, match=f"started with {name}=.*, not .*; leave that, or start a new run with"):
            train(replace(CONFIG, **other), few_digits, finished[0], resume=True, console=quiet)
    assert len(finished[0].read_metrics()) == 3


def test_resume_with_other_data_is_refused(few_digits, finished, quiet):
    fewer = PixelSamples(few_digits.train.pixels[:40], few_digits.train.labels[:40])
    for change, message in [
        ({"class_names": tuple("abcdefghij")}, r"started with class_names=\('0', .*, not \('a'"),
        ({"class_names": tuple("0123456789a")}, "started with class_names=.*; new: a$"),
        ({"class_names": tuple("1023456789")}, "started with class_names=.*: the order differs"),
        ({"train": fewer}, "started with training images=48, not 40; bring them back, or .* --weights "),
    ]:
        with pytest.raises(ValueError, match=message):
            train(CONFIG, replace(few_digits, **change), finished[0], resume=True, console=quiet)
    with pytest.raises(ValueError, match=r"the state does not fit|started with channels"):
        train(replace(CONFIG, channels=(4, 12)), few_digits, finished[0], resume=True, console=quiet)


def as_if_by(run, processes, batch_size, effective_batch=None):
    """Make of a run one that several processes were training with other batches, stopped after its second epoch."""
    run.saved_states()[0].unlink()
    _, values = run.read_config()
    values |= {"batch_size": batch_size}
    values.pop("effective_batch", None)
    config = TrainConfig(**values, effective_batch=effective_batch)
    run.config.write_text(dump_config("digits", config))
    path, state = run.load_state()
    _, before = parse_config(state["config"], "state")
    before.pop("effective_batch", None)
    state["config"] = dump_config("digits", TrainConfig(**before | {"batch_size": batch_size}))
    torch.save(state | {"processes": processes}, path)
    return config


@pytest.fixture(scope="module")
def accumulated(tmp_path_factory, few_digits):
    """A run of steps of 24 images in batches of 8, as three processes would take it too."""
    run = RunFolder(tmp_path_factory.mktemp("runs") / "accumulated")
    config = replace(CONFIG, batch_size=8, effective_batch=24)
    train(config, few_digits, run, console=Console(file=io.StringIO()))
    return run


def resumed_text(run, config, dataset):
    console = Console(file=io.StringIO(), width=400)
    train(config, dataset, run, resume=True, console=console)
    return " ".join(console.file.getvalue().split())


def test_a_run_of_several_processes_is_continued_by_one(tmp_path, few_digits, accumulated):
    """Its batches are the same, so dropout, augmentation and BatchNorm are."""
    run = RunFolder(shutil.copytree(accumulated.path, tmp_path / "renamed"))
    text = resumed_text(run, as_if_by(run, processes=3, batch_size=8), few_digits)
    assert "note steps of 24 images as before, by 1 in place of 3 processes: the same but for rounding" in text
    assert_same_weights(run, load_file(accumulated.weights))
    assert "note" not in resumed_text(run, replace(CONFIG, batch_size=8), few_digits), "the second time it is as it was"


@pytest.mark.parametrize("batch_size", [12, 24, 16])
def test_a_run_is_continued_in_other_batches(tmp_path, few_digits, accumulated, batch_size):
    """16 does not go into 24, and the most that does is taken."""
    run = RunFolder(shutil.copytree(accumulated.path, tmp_path / "run"))
    config = replace(as_if_by(run, processes=3, batch_size=8), batch_size=batch_size, memory="stored", workers=1)
    text = resumed_text(run, config, few_digits)
    batch = min(batch_size, 24 if batch_size == 24 else 12)
    assert f"steps of 24 images as before, in batches of {batch} in place of 8: BatchNorm and dropout see other" in text
    assert len(run.read_metrics()) == 3
    assert run.load_state()[1]["learner"]["steps"] == 6


@pytest.mark.parametrize(
    ("wanted", "effective", "world", "batch"),
    [(3, 6, 1, 3), (6, 6, 2, 3), (3, 12, 2, 3), (64, 128, 1, 64), (64, 96, 1, 48), (6, 6, 4, None), (1, 6, 6, 1)],
)
def test_the_batch_with_which_processes_share_a_step(wanted, effective, world, batch):
    assert fitting_batch(wanted, effective, world) == batch


def test_too_many_processes_for_a_step(accumulated):
    saved = accumulated.load_state()
    with pytest.raises(
        ValueError, match=r"24 images, .* cannot be shared by 5 processes; start 1, 2, 3, 4, 6, 8, 12, 24 of"
    ):
        with_same_steps(replace(CONFIG, batch_size=8), saved, 5)


def test_runs_that_do_not_name_their_model_go_on(tmp_path, few_digits, finished, quiet):
    """As older ones are."""
    run = RunFolder(shutil.copytree(finished[0].path, tmp_path / "run"))
    assert run.read_config()[1]["model"] == "trevsnn_digits"
    run.saved_states()[0].unlink()
    path, state = run.load_state()
    state["config"] = state["config"].replace('model = "trevsnn_digits"\n', "")
    del state["processes"]
    torch.save(state, path)
    train(CONFIG, few_digits, run, resume=True, console=quiet)
    assert_same_weights(run, load_file(finished[0].weights))


def test_one_training_at_a_time_in_a_folder(tmp_path, few_digits, quiet):
    run = RunFolder(tmp_path / "run")
    with run.locked(), pytest.raises(ValueError, match="in use by another training"):
        train(CONFIG, few_digits, run, console=quiet)
    train(replace(CONFIG, epochs=1), few_digits, run, console=quiet)


@pytest.mark.parametrize("part", ["samples", "tensorboard", "metrics.jsonl", "checkpoints", "best.safetensors"])
def test_files_of_the_user_are_not_replaced(tmp_path, few_digits, quiet, part):
    run = RunFolder(tmp_path)
    (tmp_path / part).write_text("mine")
    with pytest.raises(ValueError, match=f"holds '{part}', which a run would replace"):
        train(CONFIG, few_digits, run, console=quiet)
    assert [file.name for file in tmp_path.iterdir()] == [part]


def fail_to_save(numbers, monkeypatch):
    """Let some of the saves find a full disk, counted from 1."""
    original, saves = torch.save, []

    def failing(state, path):
        saves.append(path)
        if len(saves) in numbers:
            path.write_bytes(b"half")
            raise RuntimeError("[enforce fail] unexpected pos 64 vs 0\nframe #0: ...")
        original(state, path)

    monkeypatch.setattr(torch, "save", failing)


def test_a_full_disk_is_a_warning_while_training_goes_on(tmp_path, few_digits, finished, monkeypatch):
    fail_to_save({3, 5}, monkeypatch)  # at the end of the first two of three epochs, each saved before its test too
    console, run = Console(file=io.StringIO(), width=200), RunFolder(tmp_path / "run")
    train(CONFIG, few_digits, run, console=console)
    warnings = [line for line in console.file.getvalue().splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 2
    assert "step-0000000003.pt' cannot be written, the one before stays" in warnings[0]
    assert warnings[0].endswith("training goes on, and will try again")
    assert_same_weights(run, load_file(finished[0].weights))


@pytest.mark.parametrize("name", ["weights", "best", "metrics"])
def test_nothing_else_stops_the_run_when_the_disk_is_full(tmp_path, few_digits, finished, monkeypatch, name):
    """Until the last epoch."""
    run, target = RunFolder(tmp_path / "run"), getattr(finished[0], name).name
    console, real, attempts = Console(file=io.StringIO(), width=200), os.replace, []

    def replacing(source, destination):
        if Path(destination).name == target:
            attempts.append(destination)
            if len(attempts) == 2 - (name == "best"):
                raise OSError(28, "No space left on device", str(destination))
        real(source, destination)

    monkeypatch.setattr(os, "replace", replacing)
    train(CONFIG, few_digits, run, console=console)
    assert (
        console.file.getvalue().count(f"warning: {str(getattr(run, name))!r}: No space left on device; make room") == 1
    )
    assert_same_weights(run, load_file(finished[0].weights))
    assert len(run.read_metrics()) == 3


def test_a_full_disk_at_the_end_keeps_the_state_before(tmp_path, few_digits, finished, quiet, monkeypatch):
    with monkeypatch.context() as patch:
        fail_to_save({7}, patch)
        run = RunFolder(tmp_path / "run")
        with pytest.raises(OSError, match=r"step-0000000009\.pt' cannot be written, the one before stays") as error:
            train(CONFIG, few_digits, run, console=quiet)
    assert "\n" not in str(error.value)
    assert len(run.load_state()[1]["history"]) == 2
    assert not list(run.path.rglob("*.tmp")), "no temporary file is left"
    train(CONFIG, few_digits, run, resume=True, console=quiet)
    assert_same_weights(run, load_file(finished[0].weights))


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

    def poisoned(*args):
        for number, batch in enumerate(original(*args), start=1):
            yield batch._replace(images=batch.images * float("nan")) if number == 6 else batch

    monkeypatch.setattr(loop_module, "training_batches", poisoned)
    run = RunFolder(tmp_path / "run")
    with pytest.raises(NonFiniteError, match=r"epoch 2, step 3: the loss is nan; .*run keeps the weights of epoch 1"):
        train(CONFIG, few_digits, run, console=quiet)
    assert accuracy_of(run.weights, few_digits) == run.read_metrics()[-1]["test_accuracy"]
    assert len(run.read_metrics()) == 1


def test_infinite_gradient_stops_before_the_weights_change(few_digits):
    learner = Learner(CONFIG, few_digits)
    learner.model.head.linear1.bias.register_hook(lambda grad: grad * float("inf"))
    before = {name: value.clone() for name, value in learner.model.named_parameters()}
    with pytest.raises(NonFiniteError, match="gradient"):
        learner.step([next(loop_module.training_batches(learner, few_digits))[:2]])
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
    whole = finished[0].saved_states()[0].read_bytes()
    state_file = run.checkpoints / "step-0000000009.pt"
    for content in (whole[:1000], b"not a checkpoint", b""):
        state_file.write_bytes(content)
        with pytest.raises(ValueError, match=r"step-0000000009\.pt"):
            train(CONFIG, few_digits, run, resume=True, console=quiet)
    torch.save({"weight": torch.zeros(2)}, state_file)
    with pytest.raises(ValueError, match=r"step-0000000009\.pt' is not a training state"):
        train(CONFIG, few_digits, run, resume=True, console=quiet)
    state = torch.load(io.BytesIO(whole))
    del state["learner"]["model"]["grid.decays.0.0"]
    torch.save(state, state_file)
    with pytest.raises(ValueError, match=r"run' cannot be continued: the state does not fit .*grid\.decays\.0\.0"):
        train(CONFIG, few_digits, run, resume=True, console=quiet)


def test_lamb_and_plain_weights(tmp_path, few_digits, quiet):
    config = replace(CONFIG, epochs=1, optimizer="lamb", ema_decay=0.0)
    run = RunFolder(tmp_path / "run")
    row = train(config, few_digits, run, console=quiet)
    assert accuracy_of(run.weights, few_digits) == row["test_accuracy"]


def test_metrics_are_json_lines(finished):
    run, _, _ = finished
    for line in run.metrics.read_text().splitlines():
        assert {"epoch", "loss", "lr", "test_accuracy", "images_per_second", "peak_memory_bytes"} <= json.loads(
            line
        ).keys()


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


def test_long_epochs_get_lines_in_between(tmp_path, few_digits, monkeypatch):
    monkeypatch.setattr("trevsnn.training.progress.BETWEEN_LINES", 0.0)
    console = Console(file=io.StringIO(), width=200)
    train(replace(CONFIG, epochs=1), few_digits, RunFolder(tmp_path / "run"), console=console)
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 4 + HEADING
    for part in ("epoch 1/1  step 2/3  loss ", "lr ", "images/s", "peak RSS", " left"):
        assert part in lines[1 + HEADING]


def test_steps_may_add_up_several_batches(tmp_path, few_digits, quiet):
    """Without batch statistics, the size of a batch does not matter but for rounding."""
    config = replace(CONFIG, epochs=1, drop_rate=0.0, drop_path_rate=0.0, batch_size=24, clip_grad=0.0, ema_decay=0.0)
    weights = []
    for size in (24, 6):
        learner = Learner(replace(config, batch_size=size, effective_batch=24), few_digits)
        for module in learner.model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.train = lambda mode: None
                module.training = False
        learner.model.double()
        batches = loop_module.training_batches(learner, few_digits)
        learner.step([(b.images.double(), b.targets) for b in (next(batches) for _ in range(24 // size))])
        weights.append([p.detach() for p in learner.model.parameters()])
    for whole, parts in zip(*weights, strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-9, atol=1e-12)


def test_step_sizes_that_cannot_be(few_digits):
    for options, message in [
        ({"effective_batch": 40}, "effective_batch=40 must be a multiple of batch_size=16"),
        ({"batch_size": 49}, "batch_size=49 is more than the 48 training images"),
        ({"effective_batch": 64}, "effective_batch=64 is more than the 48 training images"),
    ]:
        with pytest.raises(ValueError, match=message):
            Learner(replace(CONFIG, **options), few_digits)
    with pytest.raises(ValueError, match=r"no images to train on; give --val-split 0\.1"):
        Learner(CONFIG, replace(few_digits, train=None))
    learner = Learner(replace(CONFIG, lr_base_size=8, warmup_epochs=0, lr=0.01), few_digits)
    assert learner.lr == pytest.approx(0.02)


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


def test_a_scale_that_overflows_is_lowered_and_the_step_left_out(few_digits):
    learner = Learner(replace(CONFIG, precision="fp16"), few_digits)
    batch = next(loop_module.training_batches(learner, few_digits))[:2]
    learner.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**120)
    before = [p.clone() for p in learner.model.parameters()]
    learner.step([batch])
    assert learner.scaler.get_scale() < 2.0**120
    assert all(torch.equal(p, q) for p, q in zip(before, learner.model.parameters(), strict=True))
    with pytest.raises(NonFiniteError):
        learner.step([(batch[0] * float("nan"), batch[1])] if learner.scaler.update(0.5) is None else [])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # the compiler looks at it
def test_compiled_training_is_close_to_plain(few_digits, monkeypatch):
    """The compiler's own tracing, without its code generation, which needs a C++ compiler."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    losses = []
    for compiled in (False, True):
        config = replace(CONFIG, compile=compiled, drop_rate=0.0, drop_path_rate=0.0)
        learner = Learner(config, few_digits)
        batches = loop_module.training_batches(learner, few_digits)
        losses.append([learner.step([next(batches)[:2]]) for _ in range(2)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_a_machine_that_cannot_compile_is_told_so(few_digits, monkeypatch):
    def backend(graph, inputs):
        raise OSError("no compiler\nfound")

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    learner = Learner(replace(CONFIG, compile=True), few_digits)
    with pytest.raises(ValueError, match=r"compile=True does not work here: .*no compiler.*; leave it out"):
        learner.step([next(loop_module.training_batches(learner, few_digits))[:2]])


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


def test_images_without_preprocessing_of_their_own_get_the_networks(few_digits):
    images = replace(few_digits, preprocessing=None)
    small = Learner(CONFIG, images).preprocessing
    assert (small.input_size, small.mean, small.std) == ((3, 32, 32), (0.5,) * 3, (0.5,) * 3)
    large = Learner(replace(CONFIG, model="trevsnn_tiny", image_size=None), images).preprocessing
    assert (large.input_size, large.mean, large.std) == (
        (3, 224, 224), IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD,
    )  # fmt: skip
    assert (large.crop_pct, large.interpolation) == (224 / 232, "bicubic")


@pytest.mark.parametrize("part", ["config", "history"])
def test_a_state_that_lacks_a_part_is_refused(tmp_path, few_digits, finished, quiet, part):
    run = RunFolder(tmp_path / "run")
    shutil.copytree(finished[0].path, run.path)
    state_file, before = run.saved_states()
    before.unlink()
    state = torch.load(state_file)
    del state[part]
    torch.save(state, state_file)
    with pytest.raises(ValueError, match=rf"(cannot be continued|is not the state of a run): .*{part}"):
        train(CONFIG, few_digits, run, resume=True, console=quiet)
