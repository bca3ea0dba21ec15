"""The folder of a run: whose files it replaces, one training at a time, and a full disk."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from runs import CONFIG, assert_same_weights, quiet_console
from safetensors.torch import load_file

from trevsnn.training import RunFolder, train


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
    ("bad", "message"),
    [
        ({"model": "trevsnn_digit"}, "model 'trevsnn_digit' is unknown"),
        ({"timesteps": 0}, "timesteps=0"),
        ({"channels": (4,) * 9}, "shrink below one pixel"),
        ({"kernel_size": 4}, "kernel_size=4"),
    ],
    ids=str,
)
def test_settings_that_cannot_work_leave_nothing_behind(tmp_path, few_digits, quiet, bad, message):
    with pytest.raises(ValueError, match=message):
        train(replace(CONFIG, **bad), few_digits, RunFolder(tmp_path / "deep" / "run"), console=quiet)
    assert not any(tmp_path.iterdir())


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
    console, run = quiet_console(), RunFolder(tmp_path / "run")
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
    console, real, attempts = quiet_console(), os.replace, []

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
