"""Short runs on a few digits, and their abrupt ends."""

import io

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from trevsnn.data import evaluation_batches
from trevsnn.models import load_weights
from trevsnn.training import Learner, TrainConfig, evaluate, loop, train

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


def quiet_console(width: int = 200) -> Console:
    """What is written to it stands in `.file.getvalue()`."""
    return Console(file=io.StringIO(), width=width)


class Stop(BaseException):
    """Like SIGKILL, runs no handler of the loop."""


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


def poison_batch(monkeypatch, wanted):
    """Training batch number `wanted`, counted from 1, holds NaN."""
    original = loop.training_batches

    def poisoned(*args):
        for number, batch in enumerate(original(*args), start=1):
            yield batch._replace(images=batch.images * float("nan")) if number == wanted else batch

    monkeypatch.setattr(loop, "training_batches", poisoned)
