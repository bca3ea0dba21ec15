import os

import pytest
import torch

from trevsnn.costs.peak_memory import peak_bytes


def speak():
    os.write(2, b"an error of one's own\n")
    return torch.empty(16, dtype=torch.uint8)


def test_the_profiler_says_nothing_and_others_are_heard(capfd):
    assert peak_bytes(speak) == 16
    assert peak_bytes(speak) == 16
    assert capfd.readouterr().err == "an error of one's own\n" * 2
    with pytest.raises(ValueError, match="an error that ends it"):
        peak_bytes(lambda: int("an error that ends it"))
    assert capfd.readouterr().err == ""


def test_the_environment_stays_as_it_was(monkeypatch):
    monkeypatch.delenv("KINETO_LOG_LEVEL", raising=False)
    peak_bytes(speak)
    assert "KINETO_LOG_LEVEL" not in os.environ
    monkeypatch.setenv("KINETO_LOG_LEVEL", "7")
    seen = []
    peak_bytes(lambda: seen.append(os.environ["KINETO_LOG_LEVEL"]))
    assert seen == ["7"]
    assert os.environ["KINETO_LOG_LEVEL"] == "7"
