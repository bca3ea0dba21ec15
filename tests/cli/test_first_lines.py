"""What a run, its continuation and a dry run say first, and where each of it comes from."""

import re
import shutil

import pytest

from trevsnn.training import RunFolder

DATA = "data            digits: 1,437 to train on, 360 to test on, 10 classes"


@pytest.fixture
def forecast(trevsnn, monkeypatch, tmp_path):
    """The lines of a dry run."""
    monkeypatch.setattr("trevsnn.training.forecast.MOST_LOADED", 1)
    monkeypatch.chdir(tmp_path)

    def run(*tokens):
        code, text, error = trevsnn("train", "digits", *tokens, "--dry-run")
        assert code == 0, error
        assert not any(tmp_path.iterdir())
        return text.splitlines()

    return run


def words(lines):
    return " ".join(" ".join(lines).split())


def test_a_dry_run(forecast):
    lines = forecast("--epochs", "1", "--batch-size", "240", "--channels", "4", "4", "--timesteps", "1")
    assert lines[0] == DATA
    assert max(map(len, lines[:6])) <= 80
    text = words(lines)
    given = "--epochs --batch-size --timesteps --channels"
    assert (
        f"settings recipe digits, these data's own; with {given} model trevsnn_digits (the data set's default)" in text
    )
    assert "input 1 x 32 x 32 (the data set's own)" in text
    assert (
        "note warmup_epochs 0.0909 in place of the recipe's 2, of 1 epochs (--warmup-epochs decides otherwise)" in text
    )


def test_a_dry_run_from_weights(forecast, digits_run):
    lines = forecast("--weights", digits_run, "--batch-size", "240", "--model", "trevsnn_digits", "--image-size", "48")
    text = words(lines)
    assert "model trevsnn_digits (--model)" in text
    assert "input 1 x 48 x 48 (--image-size)" in text
    assert f"weights {digits_run}, of digits at 1 x 32 x 32" in text
    assert re.search(r"loaded (\d+) of \1 tensors", text)


def test_a_run_and_its_continuation(trevsnn, digits_run, tmp_path):
    started = (digits_run / "start.txt").read_text().splitlines()
    assert started[0] == DATA
    run = RunFolder(shutil.copytree(digits_run, tmp_path / "renamed"))
    code, text, _ = trevsnn("train", "digits", "--resume", run.path)
    assert code == 0
    assert text.splitlines()[:2] == [DATA, "settings        settings of the run"]
    assert "model           trevsnn_digits (settings of the run)" in text
    assert "note" not in text
    code, text, _ = trevsnn("train", "digits", "--resume", run.path, "--batch-size", "120", "--dry-run")
    assert code == 0
    assert "note steps of 240 images as before, in batches of 120 in place of 240" in words(text.splitlines())


def test_a_recipe_may_be_a_run(forecast, digits_run):
    assert f"recipe {digits_run}; with --timesteps" in words(forecast("--recipe", digits_run, "--timesteps", "2"))


def test_what_lies_near_a_run_is_told(trevsnn, digits_run):
    for given in (digits_run / "model.safetensors", digits_run / "checkpoints", digits_run.parent):
        code, _, error = trevsnn("train", "digits", "--resume", given)
        assert code == 2
        assert f"has no config.toml; did you mean '{digits_run}'?" in error


def test_data_that_have_moved(trevsnn, digits_run, tmp_path):
    run = RunFolder(shutil.copytree(digits_run, tmp_path / "run"))
    run.config.write_text(run.config.read_text().replace("[data]", f"[data]\nfolder = '{tmp_path}/gone'"))
    for command in (["train", "digits", "--resume", run.path], ["eval", run.path]):
        code, _, error = trevsnn(*command)
        assert code == 2
        assert "gone', where the run found them, are not there; give --data DIR" in error


def test_metrics_of_which_a_line_is_broken(trevsnn, digits_run, tmp_path):
    run = RunFolder(shutil.copytree(digits_run, tmp_path / "run"))
    (row,) = run.metrics.read_text().splitlines()
    run.metrics.write_text(f"{row}\n{row[:40]}")
    assert len(run.read_metrics()) == 1, "half of the last line, after a power failure"
    run.metrics.write_bytes(f"{row}\r\n{row}\r\n".encode("utf-8-sig"))
    assert len(run.read_metrics()) == 2
    for content in (f"{row[:40]}\n{row}\n", f"[1]\n{row}\n"):
        run.metrics.write_text(content)
        with pytest.raises(
            ValueError, match=r"metrics\.jsonl': line 1 cannot be read .*; remove the file and continue"
        ):
            run.read_metrics()
    run.metrics.unlink()
    assert trevsnn("train", "digits", "--resume", run.path)[0] == 0
    assert len(run.read_metrics()) == 1


def test_the_size_of_the_input_is_told(trevsnn, digits_run):
    sample = min((digits_run / "samples").iterdir())
    line = "input 1 x 32 x 32, as the weights were trained\n"
    assert trevsnn("eval", digits_run)[1].startswith(f"{DATA}\n{line}")
    assert trevsnn("predict", digits_run, sample)[1].startswith(line)
