"""Several processes, as torchrun starts them, train like one."""

import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from processes import PATIENCE, run_together, start_together
from safetensors.torch import load_file

from trevsnn.training import RunFolder
from trevsnn.training.processes import Processes, joined

NETWORK = "--channels 4 8 --timesteps 2 --depth 2 --drop-rate 0.2 --drop-path-rate 0.1"
OPTIONS = f"{NETWORK} --effective-batch 240 --workers 0 --device cpu".split()
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
QUIET = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


def assert_close(left, right):
    left, right = load_file(left), load_file(right)
    assert left.keys() == right.keys()
    for name, value in left.items():
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked")):
            torch.testing.assert_close(right[name], value, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_two_processes_end_with_the_weights_of_one(tmp_path):
    """Of the same batches: batch statistics are those of a batch, and so is dropout."""
    one, two, resumed = (RunFolder(tmp_path / name) for name in ("one", "two", "resumed"))
    (done,) = run_together(1, "train", "digits", *OPTIONS, "--epochs", 2, "--batch-size", 120, "--output", one.path)
    assert done.returncode == 0, done.stderr
    first, second = run_together(
        2, "train", "digits", *OPTIONS, "--epochs", 2, "--batch-size", 120, "--output", two.path
    )
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert first.stdout.count("epoch 2/2") == 1
    assert not second.stdout, "only the first process prints"
    assert_close(one.weights, two.weights)
    for left, right in zip(one.read_metrics(), two.read_metrics(), strict=True):
        assert right["loss"] == pytest.approx(left["loss"], rel=1e-5)

    # a run of two processes is continued by two
    for name in ("config.toml", "metrics.jsonl", "checkpoints", "samples", "tensorboard"):
        target = resumed.path / name
        target.parent.mkdir(exist_ok=True)
        subprocess.run(["cp", "-r", two.path / name, target], check=True)
    newest, _ = resumed.saved_states()
    newest.unlink()
    first, second = run_together(2, "train", "digits", "--resume", resumed.path)
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert_close(two.weights, resumed.weights)

    # of fewer, which take the same batches one after another
    resumed.saved_states()[0].unlink()
    (done,) = run_together(1, "train", "digits", "--resume", resumed.path)
    assert done.returncode == 0, done.stderr
    assert "by 1 in place of 2 processes" in " ".join(done.stdout.split())
    assert_close(two.weights, resumed.weights)

    # only if the effective batch is the same
    for done in run_together(2, "train", "digits", "--resume", resumed.path, "--effective-batch", 480):
        assert done.returncode == 2
        assert "started with effective_batch=240, not 480" in done.stderr


@pytest.mark.slow
def test_sigterm_to_all_processes_saves_once(tmp_path):
    run = RunFolder(tmp_path / "run")
    size = "--batch-size 20 --effective-batch 40 --workers 0 --device cpu"  # 35 steps an epoch
    tokens = ["train", "digits", *f"{NETWORK} {size}".split(), "--epochs", "1000", "--output", str(run.path)]
    commands = start_together(2, *tokens)
    try:
        deadline = time.monotonic() + PATIENCE
        while "\nepoch" not in commands[0].stdout:
            assert commands[0].returncode is None, commands[0].stderr
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.2)  # until the next epoch is under way
        for command in commands:  # as torchrun does with a signal that it gets
            command.send_signal(signal.SIGTERM)
        assert [command.wait().returncode for command in commands] == [143, 143]
    finally:
        for command in commands:
            command.kill()
    path, state = run.load_state()
    assert state["learner"]["steps"] > 35 * len(state["history"]), "in the middle of an epoch"
    assert path == run.saved_states()[0]


@pytest.fixture
def recordings(tmp_path):
    """Options of a run on a folder of 80 recordings."""
    generator = np.random.default_rng(0)
    for number in range(80):
        folder = tmp_path / "data" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        x, y, p = (generator.integers(0, limit, 50) for limit in (32, 32, 2))
        np.savez(folder / f"{number}.npz", t=np.arange(50), x=x, y=y, p=p)
    network = "--sensor-size 32 32 --channels 4 8 --timesteps 2 --depth 2 --batch-size 10 --epochs 1 --warmup-epochs 0"
    data = ["--dataset", "folder", "--data", tmp_path / "data", "--val-split", 0.5, "--output", tmp_path / "run"]
    return ["train", "events", *data, *network.split(), "--device", "cpu", "--workers", 0]


@pytest.mark.slow
def test_two_processes_share_the_conversion_of_recordings(tmp_path, recordings):
    first, second = run_together(2, *recordings)
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert first.stdout.count("converting") == 2, "the first process's share of either split"
    assert len(list((tmp_path / "data" / ".frames").rglob("*.npz"))) == 80


SIGNALLED = """
import os, signal
from trevsnn.cli import main
from trevsnn.training import event_frames

whole = event_frames.prepare_frames

def prepare_frames(*arguments):
    for part in whole(*arguments):
        if os.environ["RANK"] == "1":
            signal.raise_signal(signal.SIGTERM)
        yield part

event_frames.prepare_frames = prepare_frames
"""


@pytest.mark.slow
def test_a_signal_to_one_process_ends_the_conversion_in_all(tmp_path, recordings):
    commands = run_together(2, *recordings, script=SIGNALLED)
    assert [command.returncode for command in commands] == [143, 143]
    assert not RunFolder(tmp_path / "run").holds_run()


NOT_ALIKE = """
import os
from trevsnn import cli

def main(tokens):
    return cli.main([*tokens, "--batch-size", "1" + os.environ["RANK"]])
"""


@pytest.mark.slow
def test_processes_that_are_not_started_alike_are_refused(tmp_path):
    tokens = ["train", "digits", *NETWORK.split(), "--device", "cpu", "--output", tmp_path / "run"]
    commands = run_together(2, *tokens, script=NOT_ALIKE)
    errors = "".join(command.stderr for command in commands)
    assert "trevsnn: error: the processes were not started alike: batch_size is 10, 11; give all" in errors
    assert not (tmp_path / "run").exists()


KILLED = """
import os, signal, sys
from trevsnn.cli import main
from trevsnn.training.learner import Learner

step = Learner.step

def step_or_end(self, *arguments, **options):
    if os.environ["RANK"] == "1" and self.steps == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *arguments, **options)

Learner.step = step_or_end
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_others_at_once(tmp_path):
    """With workers, which Python waits for."""
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    tokens = ["train", "digits", *NETWORK.split(), "--workers", 1, "--device", "cpu", "--output", tmp_path / "run"]
    launched = [*TORCHRUN, script, *map(str, tokens)]
    done = subprocess.run(launched, env=QUIET, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert "trevsnn: error: another process of this training ended" in done.stderr
    assert "Unable to shutdown process" not in done.stderr, "torchrun did not have to"
    assert RunFolder(tmp_path / "run").load_state()


def test_one_process_needs_no_launcher(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined("cpu") as processes:
        assert processes == Processes()
        assert processes.sum(1.5, 2, device=torch.device("cpu")) == [1.5, 2]
        processes.check_equal("steps", 3)
        with pytest.raises(ValueError, match="mine"), processes.all_or_none():
            raise ValueError("mine")


def test_half_an_environment_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ValueError, match=r"WORLD_SIZE is set but .*'RANK'; use torchrun"), joined("cpu"):
        pass


@pytest.mark.slow
def test_what_goes_wrong_in_one_process_is_one_line(tmp_path):
    (tmp_path / "run" / "samples").mkdir(parents=True)
    commands = run_together(2, "train", "digits", *OPTIONS, "--batch-size", 120, "--output", tmp_path / "run")
    errors = "".join(command.stderr for command in commands)
    lines = [line for line in errors.splitlines() if line.startswith("trevsnn: error")]
    assert len(lines) == 1
    assert "holds 'samples', which a run would replace" in lines[0]
    assert "RuntimeError" not in errors


@pytest.mark.slow
def test_dry_run_with_more_processes_than_test_batches(tmp_path):
    tokens = ["train", "digits", *NETWORK.split(), "--dry-run", "--device", "cpu", "--batch-size", 20]
    first, second = run_together(2, *tokens)
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert first.stdout.count("whole run") == 1
    assert not second.stdout


def test_torchruns_environment_is_joined_for_the_time_of_the_block(monkeypatch):
    """A group of one, without a launcher; where each number goes is seen in numbers that are all different."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in {
        "RANK": 0,
        "WORLD_SIZE": 1,
        "LOCAL_RANK": 2,
        "LOCAL_WORLD_SIZE": 3,
        "MASTER_PORT": port,
    }.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with joined("cpu") as processes:
        assert (processes.rank, processes.world, processes.local_rank, processes.local_world) == (0, 1, 2, 3)
        assert torch.distributed.is_initialized()
    assert not torch.distributed.is_initialized()
