"""Runs in a process of their own, ended by signals."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from trevsnn.training import RunFolder

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")]

NETWORK = ["--channels", 4, 4, 8, 8, "--timesteps", 2, "--drop-rate", 0.1]
OPTIONS = [*NETWORK, "--batch-size", 120, "--warmup-epochs", 1, "--device", "cpu"]
TRAIN = ["train", "digits", *OPTIONS]
PATIENCE = 120  # seconds


def start(*tokens):
    # one thread: the runs compared may share their cores with other work
    return subprocess.Popen(
        [sys.executable, "-m", "trevsnn", *map(str, tokens)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def finish(*tokens):
    process = start(*tokens)
    output, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, error
    return output


def wait_for_epochs(run, process, epochs):
    deadline = time.monotonic() + PATIENCE
    while len(run.read_metrics()) < epochs:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_killed_and_resumed_run_equals_one_that_never_stopped(tmp_path):
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


def test_interrupt_says_how_to_continue(tmp_path):
    run = RunFolder(tmp_path / "run")
    process = start(*TRAIN, "--epochs", 1000, "--output", run.path)
    wait_for_epochs(run, process, 1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert error == f"trevsnn: interrupted; continue with: trevsnn train digits --resume {run.path}\n"
