"""Runs in a process of their own, ended by signals."""

import os
import signal
import time
from contextlib import ExitStack

import pytest
from processes import PATIENCE, Command
from processes import run as run_command

from trevsnn.training import RunFolder

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")]

NETWORK = ["--channels", 4, 8, "--timesteps", 2, "--depth", 2, "--drop-rate", 0.1]
OPTIONS = [*NETWORK, "--batch-size", 120, "--warmup-epochs", 1, "--device", "cpu"]
TRAIN = ["train", "digits", *OPTIONS]


@pytest.fixture
def start():
    """Starts a command line in a process of its own, which does not outlive the test."""
    with ExitStack() as commands:

        def start(*tokens):
            command = Command(*tokens)
            commands.callback(command.kill)
            return command

        yield start


def finish(*tokens):
    """Run a command line to its end."""
    done = run_command(*tokens)
    assert done.returncode == 0, done.stderr


def wait_for_steps(run, process, steps):
    deadline = time.monotonic() + PATIENCE
    while not (states := run.saved_states()) or int(states[0].stem.removeprefix("step-")) < steps:
        assert process.returncode is None, process.stderr
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of three epochs, of 11 steps each, that never stopped."""
    run = RunFolder(tmp_path_factory.mktemp("runs") / "whole")
    finish(*TRAIN, "--epochs", 3, "--output", run.path)
    return run


def assert_same(run, whole):
    assert [row["epoch"] for row in run.read_metrics()] == [1, 2, 3]
    for name in ("loss", "test_accuracy"):
        assert [row[name] for row in run.read_metrics()] == [row[name] for row in whole.read_metrics()]
    for file in ("weights", "best"):
        assert getattr(run, file).read_bytes() == getattr(whole, file).read_bytes()


@pytest.mark.parametrize("steps", [4, 16])
def test_killed_in_an_epoch_and_resumed_equals_one_that_never_stopped(tmp_path, whole, start, steps):
    killed = RunFolder(tmp_path / "killed")
    process = start(*TRAIN, "--epochs", 3, "--checkpoint-minutes", 0, "--output", killed.path)
    wait_for_steps(killed, process, steps)
    process.kill()
    process.wait()
    assert len(killed.read_metrics()) < 3
    finish("train", "digits", "--resume", killed.path)
    assert_same(killed, whole)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_says_how_to_continue(tmp_path, whole, start, number, code):
    run = RunFolder(tmp_path / "run")
    process = start(*TRAIN, "--epochs", 3, "--output", run.path)
    wait_for_steps(run, process, 11)
    process.send_signal(number)
    process.wait()
    assert process.returncode == code
    assert process.stderr == f"trevsnn: interrupted; continue with: trevsnn train digits --resume {run.path}\n"
    finish("train", "digits", "--resume", run.path)
    assert_same(run, whole)
