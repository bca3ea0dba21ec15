"""Signals in the middle of an epoch: the step ends, the state is saved, and the run can go on."""

import signal
from dataclasses import replace

import pytest
from runs import CONFIG, assert_same_weights
from safetensors.torch import load_file

from trevsnn.training import Learner, RunFolder, StoppedError, train


@pytest.fixture
def interruptible():
    """The usual answer to Ctrl-C, which a shell that started the tests in the background takes away."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_in_the_middle_of_an_epoch(tmp_path, few_digits, finished, quiet, monkeypatch, number):
    run, original = RunFolder(tmp_path / "run"), Learner.step

    def signalled(self, batches):
        if self.steps == 4:
            signal.raise_signal(number)
        return original(self, batches)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", signalled)
        with pytest.raises(StoppedError) as stop:
            train(CONFIG, few_digits, run, console=quiet)
    assert stop.value.signal_number == number
    assert run.saved_states()[0].name == "step-0000000005.pt"
    train(CONFIG, few_digits, run, resume=True, console=quiet)
    assert_same_weights(run, load_file(finished[0].weights))


@pytest.mark.usefixtures("interruptible")
def test_a_second_interrupt_does_not_wait(tmp_path, few_digits, quiet, monkeypatch):
    def signalled(self, batches):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Learner, "step", signalled)
    with pytest.raises(KeyboardInterrupt):
        train(CONFIG, few_digits, RunFolder(tmp_path / "run"), console=quiet)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_work_in_the_background_goes_on_ignoring_ctrl_c(tmp_path, few_digits, quiet, monkeypatch):
    original = Learner.step

    def signalled(self, batches):
        signal.raise_signal(signal.SIGINT)
        return original(self, batches)

    monkeypatch.setattr(Learner, "step", signalled)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        train(replace(CONFIG, epochs=1), few_digits, RunFolder(tmp_path / "run"), console=quiet)
    finally:
        signal.signal(signal.SIGINT, before)
