"""`trevsnn gradients` of T-RevSNNs; those of SpikingJelly's networks are in `test_baselines`."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from trevsnn.cli import main
from trevsnn.data import BadImageError, PixelSamples, load_dataset


@pytest.fixture(scope="module")
def run(tmp_path_factory, quick):
    """A run folder of a small T-RevSNN of two steps after one quick epoch, with dropout."""
    folder = tmp_path_factory.mktemp("runs") / "two_steps"
    options = ["2" if before == "--timesteps" else token for before, token in pairwise(["", *quick])]
    assert main(["train", "digits", "--output", str(folder), "--drop-rate", "0.2", *options]) == 0
    return folder


class OneIsBroken(PixelSamples):
    def open(self, index, channels):
        if index == 0:
            raise BadImageError("image 0 cannot be read")
        return super().open(index, channels)


class AllAreBroken(PixelSamples):
    def open(self, index, channels):
        raise BadImageError(f"image {index} cannot be read")


@pytest.fixture
def with_images(monkeypatch):
    """Let there be 32 images to train on, held in this kind of samples."""
    digits = load_dataset("digits")

    def use(kind):
        few = replace(digits, train=kind(digits.train.pixels[:32], digits.train.labels[:32]))
        monkeypatch.setattr("trevsnn.cli.open_run.load_data", lambda *_: few)

    return use


def test_a_reversible_network_is_studied_and_the_same_command_gives_the_same(trevsnn, run, tmp_path):
    rows = []
    for name in ("first.json", "second.json"):
        code, text, error = trevsnn("gradients", run, "--images", 32, "--json", tmp_path / name)
        assert code == 0, error
        rows.append(json.loads((tmp_path / name).read_text()))
    assert rows[0] == rows[1]
    assert "mean of all" in text
    assert {tuple(row["spatial"]) for row in rows[0]} == {("none", "all")}
    spatial = {row["layer"]: row["spatial"]["all"] for row in rows[0]}
    assert all(spatial[layer] == pytest.approx(1) for layer in spatial if layer.startswith("grid.cells.1."))
    assert min(spatial[layer] for layer in spatial if layer.startswith("grid.cells.0.")) < 0.9999


def test_the_title_gives_the_number_of_images_that_were_used(trevsnn, run, tmp_path, with_images, drawn):
    with_images(OneIsBroken)
    plot = ["--images", 100_000, "--plot", tmp_path / "study.png"]
    code, text, error = trevsnn("gradients", run, "--skip-bad-images", *plot)
    assert code == 0, error
    assert "left out: image 0 cannot be read" in text
    assert [figure.axes[0].get_title() for figure in drawn.values()] == [
        "spatial gradients of trevsnn_digits on digits, 1 run(s), 31 images"
    ]


def test_images_of_which_none_can_be_read_are_refused(trevsnn, run, with_images):
    with_images(AllAreBroken)
    code, _, error = trevsnn("gradients", run, "--skip-bad-images")
    assert code == 2
    assert error == "trevsnn: error: there is no image to train on that can be read\n"


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["--images", "1"], "images=1 must be at least 2"),
        (["--seed=-1"], "seed=-1 must be an integer of at least 0"),
        (["--workers=-1"], "workers=-1 must be an integer of at least 0"),
        (["--data", "digits"], "--data digits is for a run; without one, digits are used: leave --data out"),
        (["--val-split", "0.1"], "--val-split 0.1 is for a run; without one, digits are used: leave --val-split out"),
        (["--device", "cuda"], "device='cuda' is not available"),
        (["RUN", "--images", "1"], "images=1 must be at least 2"),
        (["RUN", "--seed=-1"], "seed=-1 must be an integer of at least 0"),
        (["RUN", "--output", "here"], "output='here' is for runs of digits, but a run is given; leave --output out"),
    ],
)
def test_what_cannot_be_is_one_line_before_anything_is_trained(trevsnn, run, tokens, message, monkeypatch, tmp_path):
    monkeypatch.setattr("trevsnn.studies.ablation.AblationRuns.train", lambda *_: pytest.fail("trained"))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.chdir(tmp_path)
    code, text, error = trevsnn("gradients", *(run if token == "RUN" else token for token in tokens))
    assert code == 2
    assert message in error
    assert (text, error.count("\n")) == ("", 1)
