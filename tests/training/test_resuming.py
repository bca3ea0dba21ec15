"""A run that was stopped ends as one that never was; one that cannot be continued says why."""

import io
import shutil
from dataclasses import replace

import pytest
import torch
from runs import CONFIG, Stop, assert_same_weights, quiet_console, train_until_stopped
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from trevsnn.data import PixelSamples
from trevsnn.models import load_weights
from trevsnn.models.baselines import BASELINES, spikingjelly_is_installed
from trevsnn.training import RunFolder, train


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


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, few_digits, finished, quiet, monkeypatch):
    run = RunFolder(shutil.copytree(finished[0].path, tmp_path / "run"))
    run.saved_states()[0].write_bytes(run.saved_states()[0].read_bytes()[:1000])
    (run.checkpoints / ".step-0000000008.pt.tmp").write_bytes(b"left by a kill")
    console = quiet_console()
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


def test_events_hold_each_epoch_once(tmp_path, few_digits, quiet, monkeypatch):
    run = RunFolder(tmp_path / "run")
    train_until_stopped(few_digits, run, quiet, monkeypatch, 3, 1)
    train(CONFIG, few_digits, run, resume=True, console=quiet)
    events = EventAccumulator(str(run.events)).Reload()
    assert [event.step for event in events.Scalars("test_accuracy")] == [1, 2, 3]
    assert {"loss", "lr", "test_loss"} <= set(events.Tags()["scalars"])


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
