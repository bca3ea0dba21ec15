"""A network of SpikingJelly through the commands."""

import json
from itertools import pairwise

import pytest
from helpers import digits_of

from trevsnn.cli import main
from trevsnn.models.baselines import spikingjelly_is_installed
from trevsnn.studies.temporal_gradients import CUTS

pytestmark = pytest.mark.skipif(not spikingjelly_is_installed(), reason="SpikingJelly is not installed")


@pytest.fixture(scope="module")
def run(tmp_path_factory, quick):
    """A run folder of a small MS-ResNet after one quick epoch."""
    folder = tmp_path_factory.mktemp("runs") / "baseline"
    options = ["2" if before == "--timesteps" else token for before, token in pairwise(["", *quick])]
    tokens = ["--model", "ms_resnet_digits", *options]
    assert main(["train", "digits", "--output", str(folder), *tokens]) == 0
    return folder


def test_it_is_trained_tested_and_asked(trevsnn, run, tmp_path):
    assert trevsnn("eval", run, "--json", tmp_path / "eval.json")[0] == 0
    (row,) = json.loads((tmp_path / "eval.json").read_text())
    metrics = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert (row["model"], row["test_accuracy"]) == ("ms_resnet_digits", metrics["test_accuracy"])
    code, text, _ = trevsnn("predict", run, run / "samples" / "0.png")
    assert code == 0
    assert "0.png" in text


def test_it_is_continued_and_fine_tuned(trevsnn, run, tmp_path):
    code, _, error = trevsnn("train", "--resume", run, "digits")
    assert code == 0, error
    tokens = ["--weights", run, "--epochs", 1, "--warmup-epochs", 0, "--output", tmp_path / "tuned"]
    code, text, error = trevsnn("train", "digits", *tokens)
    assert code == 0, error
    assert "  loaded" in text


def test_its_gradients_are_studied(trevsnn, run, tmp_path, drawn):
    files = {"json": tmp_path / "study.json", "plot": tmp_path / "study.png"}
    options = [token for name, file in files.items() for token in (f"--{name}", file)]
    code, text, error = trevsnn("gradients", run, run / "model.safetensors", "--images", 64, *options)
    assert code == 0, error
    rows = json.loads(files["json"].read_text())
    layers = [row["layer"] for row in rows]
    assert layers[: len(rows) // 2] == layers[len(rows) // 2 :]
    assert all(row["spatial"]["none"] in (None, pytest.approx(1)) for row in rows)
    assert "mean of all" in text
    (axes,) = drawn[files["plot"]].axes
    lines = {line.get_label(): line for line in axes.lines}
    assert list(lines) == [f"cut {CUTS[cut]}" for cut in ("all but last", "only last", "all")]
    known = [row["spatial"]["all"] for row in rows[: len(layers) // 2] if row["spatial"]["all"] is not None]
    assert lines["cut everywhere"].get_ydata().tolist() == pytest.approx(known), "twice the same run"
    assert [label.get_text() for label in axes.get_xticklabels()] == layers[: len(layers) // 2]


def test_without_a_run_gradients_are_studied_of_runs_of_its_own(trevsnn, tmp_path, monkeypatch):
    digits = digits_of(64, 8)
    monkeypatch.setattr("trevsnn.cli.gradients.load_dataset", lambda _: digits)
    monkeypatch.setattr("trevsnn.cli.gradients.EPOCHS", 2)
    monkeypatch.setattr("trevsnn.cli.gradients.SEEDS", (0, 1))
    command = ["gradients", "--images", 4, "--output", tmp_path / "own", "--json", tmp_path / "study.json"]
    code, text, error = trevsnn(*command)
    assert code == 0, error
    assert "trained before" not in text
    folders = [str(tmp_path / "own" / "ms_resnet_digits" / f"seed-{seed}") for seed in (0, 1)]
    assert list(dict.fromkeys(row["run"] for row in json.loads((tmp_path / "study.json").read_text()))) == folders
    code, again, error = trevsnn(*command)
    assert code == 0, error
    assert again.count("trained before") == 2
    assert again.splitlines()[-3:] == text.splitlines()[-3:]


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["gradients", "--images", "1"], "images=1 must be at least 2"),
        (["gradients", "RUN", "--images", "1"], "images=1 must be at least 2"),
        (["gradients", "RUN", "DIGITS"], "timesteps=1: a network of one step has no temporal gradient"),
        (["export", "RUN", "--to", "onnx"], "export is for T-RevSNNs; ms_resnet_digits is of another family"),
        (["report", "RUN"], "report is for T-RevSNNs; ms_resnet_digits is of another family"),
        (["memory", "ms_resnet_digits"], "memory is for T-RevSNNs; ms_resnet_digits is of another family"),
        (
            ["train", "digits", "--model", "ms_resnet_digits", "--depth", "4"],
            "'depth' is not an option of ms_resnet_digits",
        ),
    ],
)
def test_what_it_cannot_do_is_one_line(trevsnn, run, digits_run, tokens, message):
    places = {"RUN": run, "DIGITS": digits_run}
    code, _, error = trevsnn(*(places.get(token, token) for token in tokens))
    assert code == 2
    assert message in error
    assert error.count("\n") == 1
