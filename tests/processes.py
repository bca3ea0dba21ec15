"""Commands and functions in processes of their own, forked from one that has imported PyTorch."""

import os
import signal
import socket
import sys
import tempfile
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from subprocess import TimeoutExpired

import torch

PATIENCE = 240
"""Seconds that a command may take."""
_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload(["trevsnn.cli.train", "trevsnn.plots.confusion", "sklearn.datasets", "tensorboard"])
_FOLDER = tempfile.TemporaryDirectory()
_numbers = count()


class Command:
    """A command line, `trevsnn TOKENS`, that runs in the background.

    Args:
        tokens: the command line.
        script: Python that defines what is called with the tokens in place of trevsnn's own `main`, a `main` too.
        **environment: variables besides those of this process.
    """

    def __init__(self, *tokens, script="from trevsnn.cli import main", **environment):
        number = next(_numbers)
        files = [str(Path(_FOLDER.name) / f"{name}-{number}") for name in ("stdout", "stderr")]
        variables = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
        self._process = _CONTEXT.Process(target=_run, args=(list(map(str, tokens)), script, variables, files))
        self._process.start()
        self._stdout, self._stderr = map(Path, files)

    @property
    def returncode(self):
        """None before its end; of a signal, minus its number."""
        return self._process.exitcode

    @property
    def stdout(self):
        """What it has printed so far."""
        return self._stdout.read_text(encoding="utf-8") if self._stdout.exists() else ""

    @property
    def stderr(self):
        return self._stderr.read_text(encoding="utf-8") if self._stderr.exists() else ""

    def send_signal(self, number):
        os.kill(self._process.pid, number)

    def kill(self):
        self._process.kill()

    def wait(self, seconds=PATIENCE):
        """Until it is over."""
        self._process.join(seconds)
        if self.returncode is None:
            self.kill()
            raise TimeoutExpired(self._process.name, seconds, self.stdout, self.stderr)
        return self


def call_together(function, *arguments, count=2):
    """function(rank, *arguments) in several processes, to its end in all."""
    torch.multiprocessing.start_processes(function, arguments, count, start_method=_CONTEXT.get_start_method())


def run(*tokens):
    """A command from its beginning to its end."""
    return Command(*tokens).wait()


def run_together(count, *tokens, **options):
    """The same command in several processes that train together; all of them, ended."""
    return [command.wait() for command in start_together(count, *tokens, **options)]


def start_together(count, *tokens, **options):
    """The same command in several processes that train together, with the environment of torchrun."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    place |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]
    return [Command(*tokens, **options, **place, **rank) for rank in ranks]


def _run(tokens, script, variables, files):
    os.environ.clear()
    os.environ.update(variables)
    for number, file in enumerate(files, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, encoding="utf-8") for number in (1, 2))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["__main__.py", *tokens]
    torch.set_num_threads(1)
    named = {}
    exec(script, named)
    sys.exit(named["main"](tokens))
