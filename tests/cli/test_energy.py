import json
import re

import numpy as np
import pytest
from PIL import Image

from trevsnn.costs.energy import layer_costs, total
from trevsnn.costs.operations import measure_operations
from trevsnn.data import PixelSamples, Preprocessing, evaluation_batches, load_dataset
from trevsnn.models import count_macs, create_model, load_weights


@pytest.fixture
def energy(trevsnn, tmp_path):
    """Runs `trevsnn energy`; returns the rows of its table and what it prints."""

    def run(*tokens):
        file = tmp_path / "energy.json"
        code, text, error = trevsnn("energy", *tokens, "--json", file)
        assert code == 0, error
        return json.loads(file.read_text()), text

    return run


@pytest.fixture
def pictures(tmp_path):
    """Two class folders of five pictures each, the second's brighter."""
    for label, name in enumerate(("a", "b")):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(5):
            pixels = np.random.default_rng(i).integers(0, 60, (40, 48, 3)) + 150 * label
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "pictures" / name / f"{i}.png")
    return tmp_path / "pictures"


def test_a_run_is_measured_on_its_test_images(energy, digits_run):
    (*layers, everything), text = energy(digits_run)
    assert f"{digits_run}, 1 x 32 x 32: 256 of 360 test images of digits\n" in text
    for name in (
        "macs",
        "published_energy",
        "strict_energy",
        "published_accumulates",
        "strict_macs",
        "unmerged_energy",
    ):
        assert sum(row[name] for row in layers) == pytest.approx(everything[name])
    for row in layers:
        assert row["published_energy"] == 4.6 * row["published_macs"] + 0.9 * row["published_accumulates"]
        assert row["strict_energy"] == 4.6 * row["strict_macs"] + 0.9 * row["strict_accumulates"]
        if row["layer"].startswith("stem"):
            assert row["firing_rate"] is None
        else:
            assert row["published_accumulates"] == row["firing_rate"] * row["macs"]
    assert {(row["step"], row["level"], row["block"]) for row in layers if row["layer"] == "dw2"} == {
        (0, level, block) for level in range(4) for block in range(2)
    }
    assert f"x the mean firing rate, {everything['firing_rate']:.2%}" in text
    assert re.search(r"│ pw1 +│ +\d", text)
    assert text.count("\n") < 40
    assert everything["unmerged_energy"] > everything["strict_energy"]
    assert f"{everything['unmerged_energy'] / 1e6:,.3f}" in text


def test_it_is_read_in_80_columns(trevsnn, digits_run, tmp_path, monkeypatch):
    """On a terminal, where tables are folded; the total stands last."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    texts = []
    for options in ([], ["--layers"], ["--layers", "--firing-rate", "0.1"]):
        images = [] if "--firing-rate" in options else ["--images", 9]
        code, text, error = trevsnn("energy", digits_run, *images, *options)
        assert code == 0, error
        texts.append(re.sub(r"\x1b\[[\d;]*m", "", text))
        tables = [line for line in texts[-1].splitlines() if line[:1] in "┏┃┡│└"]
        assert {len(line) for line in tables} <= set(range(50, 81))
        assert re.search(r"│ total +│ +\d.*\n└.*\n\* merged: .*\npublished: .*\n$", texts[-1])
        for cell in re.findall(r"│ ([^│┃]*) (?=│)", texts[-1]):
            assert len(cell.split()) <= 3, "numbers in one piece"
    short, layers, _ = texts
    assert re.search(r"│ stem and head │ .*\n│ 0 +│ +0 │.*\n│ 1 +│ +0 │", short)
    assert re.search(r"│ 0/1/1 +│ +pw2 │.*%.*%", layers)
    assert "0/1/1" not in short


def test_images_are_spread_over_all(energy, digits_run):
    (*_, everything), text = energy(digits_run, "--images", 9)
    assert "9 of 360 test images" in text
    model, info = load_weights(digits_run / "model.safetensors")
    test = load_dataset("digits").test
    chosen = PixelSamples(test.pixels[::40], test.labels[::40])
    batches = evaluation_batches(chosen, Preprocessing.from_dict(info.preprocessing))
    costs = layer_costs(measure_operations(model, batches))
    assert everything["strict_energy"] == pytest.approx(total(cost.by["strict"] for cost in costs).energy)
    assert "360 of 360 test images" in energy(digits_run, "--images", 1000)[1]


def test_a_folded_network_has_no_pair_in_stem_and_head(energy, digits_run):
    layers, text = energy(digits_run, "--fold", "--images", 9)
    names = {row["layer"] for row in layers}
    assert {"stem all_all", "head"} < names
    assert not names & {"stem 1", "head 1"}
    assert f"{digits_run}, folded, 1 x 32 x 32" in text


def test_an_assumed_rate_needs_no_images(energy):
    (*layers, everything), text = energy("trevsnn_digits", "--firing-rate", "0.25")
    assert "trevsnn_digits, 1 x 32 x 32: every neuron assumed to fire at a rate of 25.00%" in text
    assert {row["firing_rate"] for row in layers} == {None, 0.25}
    assert everything["firing_rate"] == pytest.approx(0.25)
    assert "silent" not in text
    clips, text = energy("trevsnn_dvs", "--firing-rate", "0.1")
    assert "trevsnn_dvs, 2 x 128 x 128" in text
    assert {row["step"] for row in clips if row.get("level") == 0} == set(range(8))


def test_a_network_by_name_is_said_to_be_untrained(energy, pictures):
    (*_, everything), text = energy("trevsnn_digits", "--data", pictures, "--images", 5, "--workers", 0)
    assert "5 of 10 test images of imagefolder; its weights are untrained" in text
    assert everything["macs"] == count_macs(create_model("trevsnn_digits"), (1, 32, 32))
    assert "4 of 4 test images" in energy("trevsnn_digits", "--data", pictures, "--val-split", 0.4, "--workers", 0)[1]


def test_an_image_that_cannot_be_read(trevsnn, energy, pictures):
    (pictures / "a" / "broken.png").write_bytes(b"none")
    code, _, error = trevsnn("energy", "trevsnn_digits", "--data", pictures, "--workers", 0)
    assert code == 2
    assert "broken.png" in error
    _, text = energy("trevsnn_digits", "--data", pictures, "--skip-bad-images", "--workers", 0)
    assert "10 of 11 test images" in text
    assert re.search(r"^left out: .*broken\.png", text, re.M)


@pytest.mark.usefixtures("few_event_digits")
def test_recordings(trevsnn, energy, tmp_path, quick):
    run = tmp_path / "run"
    assert trevsnn("train", "events", "--dataset", "digits", "--output", run, *quick)[0] == 0
    layers, text = energy(run)
    assert "30 of 30 test recordings of events/digits" in text
    assert [(row["step"], row["level"]) for row in layers if row["layer"] == "stem 1"] == [(0, 0)]
    code, _, error = trevsnn("energy", run, "--over-time")
    assert code == 2
    assert "is for clips, whose every step has a frame of its own; leave --over-time out" in error


def test_over_time_shows_a_resnet_and_draws_it(energy, tmp_path, digits_run, drawn):
    picture = tmp_path / "energy.png"
    rows, text = energy("trevsnn_digits", "--firing-rate", "0.1", "--over-time", "--plot", picture)
    assert [row["timesteps"] for row in rows] == [1, 2, 4, 8]
    for row in rows:
        assert row["fusion_share"] == row["fusion_macs"] / row["macs"]
        assert f"{row['published'] / 1e6:.3f}" in text
        assert f"{row['resnet'] / 1e6:.3f}" in text
        assert f"{row['fusion_share']:.2%}" in text
    assert "8 blocks per level in all at every T; mean firing rate 10.00% in both networks" in text
    macs, energies = ({line.get_label(): line for line in axes.lines} for axes in drawn[picture].axes)
    assert list(macs) == ["spiking ResNet-34", "trevsnn_digits", "without fusion"]
    assert list(energies) == ["spiking ResNet-34", "trevsnn_digits, published", "trevsnn_digits, strict"]
    assert macs["trevsnn_digits"].get_ydata().tolist() == [row["macs"] / 1e9 for row in rows]
    assert energies["trevsnn_digits, strict"].get_ydata().tolist() == [row["strict"] / 1e6 for row in rows]
    picture.unlink()
    (*_, everything), _ = energy(digits_run, "--images", 9)
    measured, text = energy(digits_run, "--images", 9, "--plot", picture)
    assert f"mean firing rate {everything['firing_rate']:.2%}" in text
    assert measured[0]["published"] == pytest.approx(everything["published_energy"]), "the run has T = 1"
    assert picture.exists()


def test_networks_of_other_families(trevsnn, energy):
    pytest.importorskip("spikingjelly")
    (*layers, everything), text = energy("ms_resnet_digits", "--firing-rate", "0.1")
    assert [row["layer"] for row in layers][:2] == ["stem network.stem.0", "conv network.layer1.0.downsample.0"]
    assert sum(row["strict_energy"] for row in layers) == pytest.approx(everything["strict_energy"])
    assert re.search(r"^│ layer +┃|^┃ layer", text, re.M), "no columns of places that the network does not have"
    for option in ("--fold", "--over-time"):
        code, _, error = trevsnn("energy", "ms_resnet_digits", "--firing-rate", "0.1", option)
        assert code == 2
        assert f"{option} is for T-RevSNNs; ms_resnet_digits is of another family" in error
