"""Signals end a run that waits for data, and leave one that works until its step is over."""

import os
import signal
import threading
import time

import pytest
import torch

from trevsnn.data import load_dataset
from trevsnn.training import Learner, StoppedError, TrainConfig
from trevsnn.training import stopping as stopping_module
from trevsnn.training.batches import training_batches
from trevsnn.training.stopping import stop_requests

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


def hanging():
    yield 1
    time.sleep(60)


def signal_soon(number):
    timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), number))
    timer.start()
    return timer


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_waiting_for_data(monkeypatch, number):
    monkeypatch.setattr(stopping_module, "_PATIENCE", 0.2)
    with stop_requests() as request:
        items = request.interruptible(hanging())
        assert next(items) == 1
        signal_soon(number)
        with pytest.raises(StoppedError) as stop:
            next(items)
    assert stop.value.signal_number == number


def test_a_signal_of_before_does_too(monkeypatch):
    monkeypatch.setattr(stopping_module, "_PATIENCE", 0.2)
    with stop_requests() as request:
        items = request.interruptible(hanging())
        assert next(items) == 1
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(StoppedError):
            next(items)


def test_data_that_come_in_time_are_given():
    with stop_requests() as request:
        items = request.interruptible([1, 2, 3])
        signal.raise_signal(signal.SIGTERM)
        assert list(items) == [1, 2, 3]
        assert request.signal_number == signal.SIGTERM
        time.sleep(0.01)
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_a_second_interrupt_does_not_wait():
    with stop_requests():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_step_that_is_broken_off_has_not_been():
    config = TrainConfig(
        batch_size=8, effective_batch=16, channels=(4, 4), timesteps=1, warmup_epochs=0.0, device="cpu", workers=0
    )
    digits = load_dataset("digits")
    learner = Learner(config, digits)
    before = {name: value.clone() for name, value in learner.model.state_dict().items()}

    def broken():
        yield next(training_batches(learner, digits))[:2]
        raise StoppedError(signal.SIGTERM)

    with pytest.raises(StoppedError):
        learner.step(broken())
    assert all(torch.equal(value, before[name]) for name, value in learner.model.state_dict().items())
