import json
from shutil import copytree

import pytest

from trevsnn.cli.compare import METHODS
from trevsnn.models import list_models
from trevsnn.studies import comparison

QUICK = ("--batch", "2", "--repeats", "1", "--device", "cpu")


def test_methods_side_by_side(trevsnn, tmp_path, drawn):
    files = [tmp_path / name for name in ("x.json", "x.md", "x.png")]
    tokens = ["trevsnn_digits:packed", "trevsnn_digits", "--timesteps", "2", "--firing-rate", "0.2", *QUICK]
    code, text, error = trevsnn("compare", *tokens, "--json", files[0], "--output", files[1], "--plot", files[2])
    assert code == 0, error
    rows = json.loads(files[0].read_text())
    assert [row["method"] for row in rows] == ["trevsnn_digits:packed", "trevsnn_digits"]
    for row in rows:
        assert row["reference"] == "trevsnn_digits:packed"
        assert row["firing_rate"] == pytest.approx(0.2)
        assert row["timesteps"] == 2
        assert f"{row['bytes_per_image'] / 1e6:,.1f}" in text
        assert f"{row['published'] / 1e6:,.3f}" in text
    assert rows[1]["ratios"]["seconds"]["measured"] == pytest.approx(rows[1]["seconds"] / rows[0]["seconds"])
    assert rows[0]["ratios"]["strict"] == {"measured": 1.0, "paper": None}
    assert "20.00% assumed" in text
    assert "every neuron is assumed to fire at the same rate" in text
    assert "measured with batch 2, fp32, repeats 1; device " in text
    markdown = files[1].read_text()
    assert "| trevsnn_digits | 1." in markdown
    assert markdown.count("\n| method | ") == 2
    memory, speed, energy = drawn[files[2]].axes
    assert [bar.get_width() for bar in memory.patches] == [row["bytes_per_image"] / 1e6 for row in rows]
    assert [bar.get_width() for bar in speed.patches] == [2 / row["seconds"] for row in rows]
    assert [bar.get_width() for bar in energy.patches][:2] == [row["published"] / 1e6 for row in rows]


def test_a_run_has_rates_and_an_accuracy_of_its_own(trevsnn, tmp_path, digits_run):
    code, text, error = trevsnn(
        "compare", digits_run, "trevsnn_digits", "--reference", "trevsnn_digits", *QUICK, "--json", tmp_path / "x.json"
    )
    assert code == 0, error
    run, digits = json.loads((tmp_path / "x.json").read_text())
    (last,) = [json.loads(line) for line in (digits_run / "metrics.jsonl").read_text().splitlines()]
    assert run["accuracy"] == last["test_accuracy"]
    assert not run["assumed"]
    assert run["timesteps"] == 1, "the run's, not the option's"
    assert run["firing_rate"] != digits["firing_rate"]
    assert f"{run['firing_rate']:.2%}" in text
    assert f"{run['accuracy']:.2%}" in text
    assert run["reference"] == "trevsnn_digits"


def test_an_interruption_leaves_what_there_is(trevsnn, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(comparison, "measure_seconds", interrupted)
    code, text, error = trevsnn("compare", "trevsnn_digits", *QUICK, "--json", tmp_path / "x.json")
    assert code == 130
    assert error == "trevsnn: interrupted\n"
    (row,) = json.loads((tmp_path / "x.json").read_text())
    assert f"{row['bytes_per_image'] / 1e6:,.1f}" in text
    assert row["times"] == []


def test_networks_that_a_package_is_missing_for_become_a_line(trevsnn, monkeypatch):
    monkeypatch.setattr("trevsnn.models.base.find_spec", lambda name: None)
    code, text, error = trevsnn("compare", "trevsnn_digits", "sdt_digits", "--timesteps", "1", *QUICK)
    assert code == 0, error
    assert "sdt_digits: model 'sdt_digits' is SpikingJelly's, which is not installed: pip install" in text


def test_a_command_whose_every_method_failed_fails(trevsnn, tmp_path, monkeypatch):
    def out_of_memory(*_):
        raise MemoryError

    monkeypatch.setattr(comparison, "measure_memory", out_of_memory)
    monkeypatch.setattr("trevsnn.models.base.find_spec", lambda name: None)
    code, text, error = trevsnn("compare", "trevsnn_digits", "sdt_digits", "--timesteps", "1", *QUICK)
    assert code == 2
    assert "trevsnn_digits │" in text, "its energy"
    assert error.startswith("trevsnn: error: every method failed; trevsnn_digits: out of memory, sdt_digits: model")
    assert error.count("\n") == 1
    code, text, error = trevsnn("compare", "sdt_digits", "--json", tmp_path / "x.json", *QUICK)
    assert (code, text) == (2, "")
    assert "not installed" in error
    assert not (tmp_path / "x.json").exists()


def test_a_run_may_be_called_as_a_setting_is(trevsnn, tmp_path, digits_run):
    run = copytree(digits_run, tmp_path / "small-memopt")
    code, _, error = trevsnn("compare", run, *QUICK, "--json", tmp_path / "x.json")
    assert code == 0, error
    (row,) = json.loads((tmp_path / "x.json").read_text())
    assert row["memopt_level"] is None
    assert row["bytes_per_image"] > 0


def test_the_default_methods_are_networks():
    pytest.importorskip("spikingjelly")
    assert {name.removesuffix("-memopt") for name in METHODS} <= set(list_models())


def test_several_batches_and_timesteps(trevsnn, tmp_path, drawn):
    files = [tmp_path / name for name in ("x.json", "x.md", "x.png")]
    tokens = ["trevsnn_digits", "trevsnn_digits:stored", "--batch", "1,2", "--timesteps", "1,2", "--repeats", "1"]
    options = ["--device", "cpu", "--json", files[0], "--output", files[1], "--plot", files[2]]
    code, text, error = trevsnn("compare", *tokens, *options)
    assert code == 0, error
    rows = {(row["method"], row["batch"], row["timesteps"]): row for row in json.loads(files[0].read_text())}
    assert list(rows) == [
        (f"trevsnn_digits{memory}", batch, steps) for batch in (1, 2) for steps in (1, 2) for memory in ("", ":stored")
    ]
    stored, reference = rows["trevsnn_digits:stored", 2, 2], rows["trevsnn_digits", 2, 2]
    ratio = stored["bytes_per_image"] / reference["bytes_per_image"]
    assert stored["ratios"]["bytes_per_image"]["measured"] == pytest.approx(ratio)
    assert f"{stored['bytes_per_image'] / 1e6:,.1f} ({ratio:.2f})" in text
    titles = [line for line in files[1].read_text().splitlines() if line.endswith("'s:")]
    assert titles == [
        f"{what}, batch {batch}, and as a multiple of trevsnn_digits's:"
        for batch in (1, 2)
        for what in ("Training memory, MB per image", "Images/s (lowest to highest)")
    ]
    assert len(drawn[files[2]].axes) == 4
    memory = {line.get_label(): dict(line.get_xydata()) for line in drawn[files[2]].axes[2].lines}
    assert memory["trevsnn_digits:stored"][2] == stored["bytes_per_image"] / 1e6


def test_an_interrupted_comparison_goes_on(trevsnn, tmp_path, monkeypatch):
    file, calls = tmp_path / "x.json", []

    def seconds(network, step):
        calls.append(network)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return float(len(calls))

    monkeypatch.setattr(comparison, "measure_seconds", seconds)
    command = ["compare", "trevsnn_digits", "trevsnn_digits:packed", "--timesteps", "1,2", "--batch", 2]
    command += ["--repeats", 1, "--device", "cpu", "--json", file, "--resume"]
    assert trevsnn(*command)[0] == 130
    before = json.loads(file.read_text())
    assert [row["times"] for row in before] == [[1.0], [2.0], [3.0], []]
    monkeypatch.setattr(comparison, "measure_memory", lambda *_: pytest.fail("it was measured before"))
    code, _, error = trevsnn(*command)
    assert code == 0, error
    after = json.loads(file.read_text())
    assert [row["times"] for row in after] == [[1.0], [2.0], [3.0], [5.0]]
    assert after[:3] == before[:3]

    # other rows stay, and figures of other settings are not mixed
    code, _, error = trevsnn("compare", "trevsnn_digits", *command[3:])
    assert code == 0, error
    assert len(json.loads(file.read_text())) == 4
    code, _, error = trevsnn(*command, "--precision", "bf16")
    assert code == 2
    assert "was measured with precision='fp32', not 'bf16'; give another, or leave --resume out" in error
    file.write_text("[1]")
    code, _, error = trevsnn(*command)
    assert code == 2
    assert "is not one of trevsnn compare; leave --resume out" in error
    assert trevsnn(*command[:-3], "--resume")[0] == 2


def test_checkpointed_and_plain_networks(trevsnn, tmp_path):
    names = ["trevsnn_tiny", "trevsnn_tiny:stored", "trevsnn_tiny:checkpointed", "trevsnn_tiny:plain"]
    options = ["--timesteps", "4", "--resolution", "96", "--batch", "4", "--repeats", "1", "--device", "cpu"]
    code, _, error = trevsnn("compare", *names, *options, "--json", tmp_path / "x.json")
    assert code == 0, error
    rows = json.loads((tmp_path / "x.json").read_text())
    assert [(row["method"], row["error"]) for row in rows] == [(name, None) for name in names]
    ours, stored, checkpointed, plain = (row["bytes_per_image"] for row in rows)
    assert ours < checkpointed < stored < 1.2 * plain
    assert len({row["parameters"] for row in rows}) == 1


def test_a_level_of_memory_optimisation(trevsnn, tmp_path):
    pytest.importorskip("spikingjelly")
    names = ["ms_resnet_digits", "ms_resnet_digits-memopt1", "ms_resnet_digits-memopt2"]
    code, text, error = trevsnn("compare", *names, "--timesteps", "2", *QUICK, "--json", tmp_path / "x.json")
    assert code == 0, error
    plain, first, second = json.loads((tmp_path / "x.json").read_text())
    assert first["bytes_per_image"] < plain["bytes_per_image"]
    assert (first["memopt_level"], second["memopt_level"]) == (1, None)
    assert "CUDA" in second["error"], "and no lower level is taken for it"
    assert "ms_resnet_digits-memopt1: SpikingJelly's memory optimisation at level 1" in text
