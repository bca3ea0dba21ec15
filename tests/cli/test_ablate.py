"""A small grid from the command line, on a few digits."""

import json
import signal

import pytest
from helpers import digits_of

from trevsnn.cli import main
from trevsnn.training import Learner, RunFolder

OPTIONS = "--timesteps 2 --depth 4 --epochs 1 --warmup-epochs 0 --batch-size 64 --device cpu"
QUICK = ["ablate", "digits", *OPTIONS.split()]
FUSION = "--channels 8 16 --questions fusion --seeds 0 1"
ABLATE = [*QUICK, *FUSION.split()]


@pytest.fixture(autouse=True, scope="module")
def few_digits():
    digits = digits_of(192, 60)
    with pytest.MonkeyPatch.context() as patch:
        for command in ("ablate", "train"):
            patch.setattr(f"trevsnn.cli.{command}.load_dataset", lambda *_: digits)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A grid that never stopped."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert main([*ABLATE, "--output", str(folder)]) == 0
    return folder


def rows(folder):
    return json.loads((folder / "ablation.json").read_text())


def test_a_grid_that_was_stopped_ends_as_one_that_never_was(trevsnn, tmp_path, monkeypatch, whole):
    grid, file, step, steps = tmp_path / "grid", tmp_path / "table.json", Learner.step, []

    def interrupted(self, batches):
        steps.append(self.steps)
        if len(steps) == 5:  # the second of three of the second run
            signal.raise_signal(signal.SIGINT)
        return step(self, batches)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", interrupted)
        code, text, error = trevsnn(*ABLATE, "--output", grid)
    assert (code, error) == (130, "trevsnn: interrupted; the same command goes on\n")
    assert "run 2 of 4: fusion-off, seed 0\n" in text
    assert [list(row["accuracies"].values()).count(None) for row in rows(grid)] == [1, 2]
    assert "| fusion | off |  |" in (grid / "ablation.md").read_text()

    code, text, _ = trevsnn(*ABLATE, "--output", grid, "--json", file)
    assert code == 0
    assert "run 1 of 4: base, seed 0, trained before\n" in text
    assert "run 2 of 4: fusion-off, seed 0\n" in text
    assert rows(grid) == rows(whole) == json.loads(file.read_text())
    for run in ("base/seed-0", "base/seed-1", "fusion-off/seed-0", "fusion-off/seed-1"):
        assert RunFolder(grid / run).weights.read_bytes() == RunFolder(whole / run).weights.read_bytes()
    (row,) = RunFolder(grid / "fusion-off" / "seed-1").read_metrics()
    assert row["test_accuracy"] == rows(grid)[1]["accuracies"]["1"]


def test_a_run_of_the_grid_is_what_train_makes_of_its_settings(trevsnn, tmp_path, whole):
    run = whole / "fusion-off" / "seed-1"
    assert trevsnn("train", "digits", "--recipe", run / "config.toml", "--output", tmp_path / "run")[0] == 0
    assert RunFolder(tmp_path / "run").weights.read_bytes() == RunFolder(run).weights.read_bytes()


def test_other_settings_are_refused(trevsnn, whole):
    code, _, error = trevsnn(*ABLATE, "--output", whole, "--lr", 0.003)
    assert code == 2
    assert error.count("\n") == 1
    assert "seed-0' holds another run: it was started with lr=0.01, not 0.003" in error


def test_questions_of_ones_own_and_a_run_that_diverges(trevsnn, tmp_path):
    recipe, grid = tmp_path / "recipe.toml", tmp_path / "grid"
    recipe.write_text("seed = 5\noptimizer = 'lamb'\nchannels = [4, 8]\n")
    vary = ["--vary", "lr=1e30", "--vary", "channels=4 8,8"]
    code, text, error = trevsnn(*QUICK, "--recipe", recipe, *vary, "--seeds", 3, "--output", grid)
    assert code == 2
    assert error == f"trevsnn: error: 1 of 3 runs diverged; {grid / 'ablation.md'} says how\n"
    assert "0 of 1, 1 diverged" in text
    assert [row["variant"] for row in rows(grid)] == ["base", "lr-1e%2B30", "base", "channels-8"]
    assert "stopped at epoch 1" in rows(grid)[1]["failures"]["3"]
    settings = RunFolder(grid / "channels-8" / "seed-3").read_config()[1]
    assert (settings["channels"], settings["optimizer"], settings["seed"]) == ([8], "lamb", 3)


def test_all_questions_but_those_that_the_network_cannot_have(trevsnn, tmp_path, monkeypatch):
    monkeypatch.setattr("trevsnn.studies.ablation.train", lambda *_, **__: None)
    code, text, _ = trevsnn(*QUICK, "--channels", 9, "--output", tmp_path, "--seeds", 0)
    assert code == 0
    data, question, *_ = text.splitlines()
    assert data == "data            digits: 192 to train on, 60 to test on, 10 classes"
    assert question.startswith("question input_encoding is left out: input_encoding='grouped' splits ")
    assert {row["question"] for row in rows(tmp_path)} == {
        "fusion", "residual_scale", "timesteps", "aux_heads", "learn_decay",
    }  # fmt: skip
