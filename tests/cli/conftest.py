import pytest
from helpers import digits_of

from trevsnn.cli import main
from trevsnn.data.events import digits as events_digits
from trevsnn.data.events.digits import record_digits
from trevsnn.plots.style import save_png


@pytest.fixture(scope="session")
def quick() -> list[str]:
    """Options of a run of a second."""
    options = "--channels 4 4 8 8 --timesteps 1 --epochs 1 --warmup-epochs 0 --batch-size 240 --device cpu"
    return options.split()


@pytest.fixture
def trevsnn(capsys):
    """Runs a command line in this process; returns (exit code, standard output, standard error)."""

    def run(*tokens):
        capsys.readouterr()
        code = main([str(token) for token in tokens])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory, quick):
    """A run folder after one quick epoch."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    assert main(["train", "digits", "--output", str(folder), *quick]) == 0
    return folder


@pytest.fixture(scope="session")
def recorded_digits():
    """Digits, and the recordings of as many of them: those to train on, a batch of `quick`, and those to test on."""
    digits = digits_of(240, 30)
    return digits, {len(samples): record_digits(samples) for samples in (digits.train, digits.test)}


@pytest.fixture
def few_event_digits(recorded_digits, monkeypatch):
    """events/digits has no more recordings than `recorded_digits`."""
    digits, recordings = recorded_digits
    monkeypatch.setattr(events_digits, "digits", lambda: digits)
    monkeypatch.setattr(events_digits, "record_digits", lambda samples: recordings[len(samples)])


@pytest.fixture
def drawn(monkeypatch):
    """The figures that commands save, by file."""
    figures = {}

    def save(figure, path):
        figures[path] = figure
        save_png(figure, path)

    monkeypatch.setattr("trevsnn.plots.style.save_png", save)
    return figures
