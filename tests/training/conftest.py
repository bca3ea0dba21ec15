"""A run that never stopped."""

import pytest
from runs import CONFIG, quiet_console

from trevsnn.training import RunFolder, train
from trevsnn.training.progress import ProgressReporter


@pytest.fixture
def quiet():
    return quiet_console()


@pytest.fixture(scope="session")
def shown():
    """What the run of `finished` shows of every step: epoch, loss, images per second, learning rate, memory."""
    return []


@pytest.fixture(scope="session")
def finished(tmp_path_factory, few_digits, shown):
    run = RunFolder(tmp_path_factory.mktemp("runs") / "whole")
    console = quiet_console()
    show = ProgressReporter.step

    def step(self, *values):
        shown.append(values)
        show(self, *values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ProgressReporter, "step", step)
        row = train(CONFIG, few_digits, run, console=console)
    return run, row, console.file.getvalue()
