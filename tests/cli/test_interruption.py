"""Runs in a process of their own, ended by signals."""

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest
import torch
from safetensors.torch import load_file

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


def wait_for_epochs(run, process, epochs):
    deadline = time.monotonic() + PATIENCE
    while len(run.read_metrics()) < epochs:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_killed_and_resumed_run_equals_one_that_never_stopped(tmp_path, start, finish):
    whole, killed = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "killed")
    finish(*TRAIN, "--epochs", 4, "--output", whole.path)

    process = start(*TRAIN, "--epochs", 4, "--output", killed.path)
    wait_for_epochs(killed, process, 2)
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert 2 <= len(killed.read_metrics()) < 4

    finish("train", "digits", "--resume", killed.path)
    assert [row["epoch"] for row in killed.read_metrics()] == [1, 2, 3, 4]
    assert killed.read_metrics()[-1]["test_accuracy"] == whole.read_metrics()[-1]["test_accuracy"]
    expected, actual = load_file(whole.weights), load_file(killed.weights)
    assert actual.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in actual.items())


def test_interrupt_says_how_to_continue(tmp_path, start):
    run = RunFolder(tmp_path / "run")
    process = start(*TRAIN, "--epochs", 1000, "--output", run.path)
    wait_for_epochs(run, process, 1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert error == f"trevsnn: interrupted; continue with: trevsnn train digits --resume {run.path}\n"
