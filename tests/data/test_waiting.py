"""Batches do not come for ever: what makes them is gone, fails or hangs, and nobody waits without end."""

import errno
import gc
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trevsnn.data import Preprocessing, evaluation_batches, workers
from trevsnn.data.dataset import Samples
from trevsnn.data.errors import LoadingError, LoadingWarning

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes are forked")


@dataclass(frozen=True, eq=False)
class Failing(Samples):
    """Pictures, the last of which does something else when it is opened."""

    act: object
    labels: np.ndarray = field(default_factory=lambda: np.zeros(130, np.int64))

    def open(self, index, channels):
        if index == 129:
            self.act()
        return Image.new("L", (8, 8))


def load(act, workers=2):
    return list(evaluation_batches(Failing(act), Preprocessing(input_size=(1, 8, 8)), workers=workers))


def raise_(error):
    raise error


def load_and_wait(act):
    """PyTorch's handler of signals raises wherever the program is."""
    load(act)
    time.sleep(5)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_that_is_killed(number):
    with pytest.raises((LoadingError, RuntimeError), match=r"killed by signal|was ended, by lack of memory"):
        load_and_wait(lambda: os.kill(os.getpid(), number))


def test_a_worker_that_leaves():
    with pytest.raises((LoadingError, RuntimeError), match=r"exited unexpectedly|was ended, by lack of memory"):
        load_and_wait(lambda: os._exit(1))


@pytest.mark.parametrize("error", [ConnectionResetError(104, "reset by peer"), EOFError("")])
def test_a_worker_that_ends_while_it_passes_a_batch_on(error):
    def broken():
        yield 1
        raise error

    batches = workers._watched(broken())
    assert next(batches) == 1
    with pytest.raises(LoadingError, match="was ended, by lack of memory most likely: lower --workers"):
        next(batches)


def test_an_error_of_the_machine_is_one_line():
    with pytest.raises(LoadingError, match=r"^a process that reads images failed: .*stale") as error:
        load(lambda: raise_(OSError(116, "stale file handle")))
    assert "\n" not in str(error.value)


def test_a_bug_keeps_its_traceback():
    with pytest.raises(RuntimeError, match=r"(?s)Traceback.*KeyError: 'a bug'"):
        load(lambda: raise_(KeyError("a bug")))


def test_too_little_shared_memory(monkeypatch):
    def full(tensor):
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    with pytest.raises(LoadingError, match=r"too little shared memory .*--workers 0.*--shm-size"):
        load(lambda: None)
    assert len(load(lambda: None, workers=0)) == 3


@pytest.mark.parametrize(
    ("place", "code", "message"),
    [
        (
            "Event",
            errno.ENOSPC,
            r"^the processes that read images cannot be started: .* shared memory .*--workers 0.*shm-size",
        ),
        (
            "Process.start",
            errno.EMFILE,
            r"^the processes .* too many files are open: lower --workers, .*ulimit -n 4096",
        ),
        ("Process.start", errno.EAGAIN, r"^the processes .* too many processes: lower --workers"),
    ],
)
def test_workers_that_cannot_be_started(monkeypatch, place, code, message):
    def fail(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(f"torch.multiprocessing.{place}", fail)
    with pytest.raises(LoadingError, match=message):
        load(lambda: None)
    gc.collect()  # nothing is said when what was begun goes


def test_a_worker_that_hangs_is_told_and_given_up(monkeypatch):
    for name, seconds in (("_LOOK", 1), ("_REMIND", 1), ("_GIVE_UP", 2)):
        monkeypatch.setattr(workers, name, seconds)
    with (
        pytest.warns(LoadingWarning, match=r"waiting for images for 1 s: .*Ctrl-C ends the run"),
        pytest.raises(LoadingError, match=r"no images could be read for 0 minutes: .*--workers 0"),
    ):
        load(lambda: time.sleep(3600))


def test_workers_that_hang_are_ended_with_the_iterator():
    batches = evaluation_batches(Failing(lambda: time.sleep(3600)), Preprocessing(input_size=(1, 8, 8)), workers=2)
    next(batches)
    started = time.monotonic()
    batches.close()
    del batches
    assert time.monotonic() - started < 60, "PyTorch would wait for each, and then for ever"


PROGRAM = """
import sys, time
from pathlib import Path
from PIL import Image
sys.path.insert(0, sys.argv[1])
from data.test_waiting import Failing, Preprocessing, evaluation_batches

batches = evaluation_batches(Failing(lambda: time.sleep(3600)), Preprocessing(input_size=(1, 8, 8)), workers=2)
next(batches)
sys.exit(3)
"""


def test_a_program_that_ends_does_not_wait_for_its_workers():
    tests = str(Path(__file__).parents[1])
    ended = subprocess.run([sys.executable, "-c", PROGRAM, tests], check=False, timeout=120)
    assert ended.returncode == 3
