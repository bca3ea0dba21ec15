"""Runs in a process of their own, ended by signals."""

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest

from trevsnn.training import RunFolder

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")]

NETWORK = ["--channels", 4, 4, 8, 8, "--timesteps", 2, "--drop-rate", 0.1]
OPTIONS = [*NETWORK, "--batch-size", 120, "--warmup-epochs", 1, "--device", "cpu"]
TRAIN = ["train", "digits", *OPTIONS]
PATIENCE = 120  # seconds


@pytest.fixture
def start():
    """Starts a command line in a process of its own, which does not outlive the test."""
    with ExitStack() as processes:

        def start(*tokens):
            process = subprocess.Popen(
                [sys.executable, "-m", "trevsnn", *map(str, tokens)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | {"OMP_NUM_THREADS": "1"},  # the runs compared may share their cores with other work
                # a shell that started the tests in the background has them, and so this process, ignore Ctrl-C
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
            processes.enter_context(process)
            processes.callback(process.kill)
            return process

        yield start


@pytest.fixture
def finish(start):
    """Runs a command line to its end."""

    def finish(*tokens):
        process = start(*tokens)
        _, error = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, error

    return finish


def wait_for_steps(run, process, steps):
    deadline = time.monotonic() + PATIENCE
    while not (states := run.saved_states()) or int(states[0].stem.removeprefix("step-")) < steps:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of four epochs, of 11 steps each, that never stopped."""
    run = RunFolder(tmp_path_factory.mktemp("runs") / "whole")
    tokens = [sys.executable, "-m", "trevsnn", *map(str, [*TRAIN, "--epochs", 4, "--output", run.path])]
    subprocess.run(tokens, check=True, timeout=PATIENCE, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True)
    return run


def assert_same(run, whole):
    assert [row["epoch"] for row in run.read_metrics()] == [1, 2, 3, 4]
    for name in ("loss", "test_accuracy"):
        assert [row[name] for row in run.read_metrics()] == [row[name] for row in whole.read_metrics()]
    for file in ("weights", "best"):
        assert getattr(run, file).read_bytes() == getattr(whole, file).read_bytes()


@pytest.mark.parametrize("steps", [4, 16])
def test_killed_in_an_epoch_and_resumed_equals_one_that_never_stopped(tmp_path, whole, start, finish, steps):
    killed = RunFolder(tmp_path / "killed")
    process = start(*TRAIN, "--epochs", 4, "--checkpoint-minutes", 0, "--output", killed.path)
    wait_for_steps(killed, process, steps)
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert len(killed.read_metrics()) < 4
    finish("train", "digits", "--resume", killed.path)
    assert_same(killed, whole)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_says_how_to_continue(tmp_path, whole, start, finish, number, code):
    run = RunFolder(tmp_path / "run")
    process = start(*TRAIN, "--epochs", 4, "--output", run.path)
    wait_for_steps(run, process, 11)
    process.send_signal(number)
    _, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == code
    assert error == f"trevsnn: interrupted; continue with: trevsnn train digits --resume {run.path}\n"
    finish("train", "digits", "--resume", run.path)
    assert_same(run, whole)
