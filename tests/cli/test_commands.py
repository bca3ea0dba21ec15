import json
import re
import shutil
from argparse import Namespace

import numpy as np
import pytest
import torch

import trevsnn as package
from trevsnn import create_model
from trevsnn.cli import predict as predict_module
from trevsnn.cli.app import app
from trevsnn.cli.memory import parse_bytes
from trevsnn.models import load_weights
from trevsnn.models.official import official_name
from trevsnn.training import RunFolder, load_config
from trevsnn.training.config import SETTINGS


def test_version_and_help(trevsnn):
    assert trevsnn("--version")[:2] == (0, package.__version__ + "\n")
    code, text, _ = trevsnn("--help")
    assert code == 0
    commands = re.findall(r"^│ (\w+) ", text, re.MULTILINE)
    assert {command for command in app if not command.startswith("-")} == set(commands)


def test_the_page_of_commands_has_them_all(pytestconfig):
    page = (pytestconfig.rootpath / "docs" / "commands.md").read_text(encoding="utf-8")
    assert [command for command in app if f"`trevsnn {command}" not in page and not command.startswith("-")] == []


def test_options_of_other_networks(trevsnn):
    network = ["--model", "trev_ms_resnet_digits", "--channels", "4", "8", "--blocks", "1", "2", "--stem-stride", "2"]
    code, text, error = trevsnn("train", "digits", "--dry-run", "--threshold", "0.4", "--window", "0", "2", *network)
    assert code == 0, error
    assert "with --threshold --window --channels --blocks --stem-stride" in " ".join(text.split())
    code, _, error = trevsnn("train", "digits", "--dry-run", "--threshold", "0.4", "--window", "1", "2")
    assert code == 2
    assert error.startswith("trevsnn: error: window=(1.0, 2.0) must go from a lower to a higher potential")


def test_help_of_train_shows_every_option_with_its_default(trevsnn):
    code, text, _ = trevsnn("train", "--help")
    assert code == 0
    words = " ".join(text.replace("│", " ").split())
    for name in SETTINGS:
        assert f"--{name.replace('_', '-')} " in words
    for part in (
        "[default: the recipe's, else 0.001]",
        "learning rate",
        "runs/KIND by default",
        "(epochs",
        "adaptive gradient",
    ):
        assert part.lower() in words.lower()


def test_train_eval_and_predict_agree(trevsnn, tmp_path, quick):
    run, file = tmp_path / "run", tmp_path / "metrics.json"
    code, text, _ = trevsnn("train", "digits", "--output", run, "--json", file, *quick)
    assert code == 0
    printed = re.search(r"^test accuracy (\S+)$", text, re.M)
    assert printed is not None
    assert f"trevsnn eval {run}" in text
    (row,) = json.loads(file.read_text())

    code, table, _ = trevsnn("eval", run, "--json", file)
    assert code == 0
    assert printed[1] in table
    (evaluated,) = json.loads(file.read_text())
    assert evaluated["test_accuracy"] == row["test_accuracy"]
    assert evaluated["images"] == 360

    samples = sorted(RunFolder(run).samples.glob("*.png"))
    code, table, _ = trevsnn("predict", run, *samples, "--json", file)
    assert code == 0
    rows = json.loads(file.read_text())
    assert [prediction["image"] for prediction in rows] == [str(sample) for sample in samples]
    for prediction in rows:
        assert prediction["image"] in table
        probabilities = prediction["probabilities"]
        assert sum(probabilities.values()) == pytest.approx(1)
        assert prediction["class"] == max(probabilities, key=probabilities.get)
        assert prediction["probability"] == max(probabilities.values())


def test_names_with_markup_are_shown_as_they_are(trevsnn, digits_run, tmp_path):
    image = tmp_path / "[bold]x[/q]:smile:.png"  # the slash makes a folder
    image.parent.mkdir()
    shutil.copy(min((digits_run / "samples").iterdir()), image)
    code, table, _ = trevsnn("predict", digits_run, image)
    assert code == 0
    assert str(image) in table


def test_folder_with_spaces_is_quoted_in_what_comes_next(trevsnn, tmp_path, quick):
    run = tmp_path / "my [/b] run"
    code, text, _ = trevsnn("train", "digits", "--output", run, *quick)
    assert code == 0
    assert f"  trevsnn eval '{run}'" in text.splitlines()


def test_weights_file_stands_for_its_run(trevsnn, digits_run):
    of_run, of_file = (trevsnn("eval", path)[1] for path in (digits_run, digits_run / "model.safetensors"))
    accuracy = re.compile(r"(\d+\.\d\d%) │$", re.M)
    assert accuracy.findall(of_run) == accuracy.findall(of_file) != []


def test_predict_takes_folders_and_shows_the_most_probable(trevsnn, digits_run, tmp_path):
    """Readable ones whatever lies beside them; what is left out is told."""
    folder, table = tmp_path / "pictures", tmp_path / "x.json"
    samples = sorted((digits_run / "samples").iterdir())[:3]
    for sample, place in zip(samples, ("b/2.png", "b/10.PNG", "a/deep/1.png"), strict=True):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(sample, folder / place)
    (folder / "b" / "again").symlink_to(folder, target_is_directory=True)
    (folder / "b" / ".hidden.png").write_text("none")
    (folder / "a" / "notes.txt").write_text("none")
    code, text, error = trevsnn("predict", digits_run, folder, samples[0], "--top", 5, "--json", table)
    assert code == 0, error
    rows = json.loads(table.read_text())
    order = [folder / "a" / "deep" / "1.png", folder / "b" / "10.PNG", folder / "b" / "2.png", samples[0]]
    assert [row["image"] for row in rows] == [str(path) for path in order]
    for row in rows:
        ranked = sorted(row["probabilities"], key=row["probabilities"].get, reverse=True)[:5]
        assert [entry["class"] for entry in row["top"]] == ranked
        assert [entry["probability"] for entry in row["top"]] == [row["probabilities"][name] for name in ranked]
        assert (row["class"], row["probability"]) == tuple(row["top"][0].values())
    assert len(re.findall(r"%", text)) == 20
    line = "data            4 images; left out 3: 1 hidden, 1 link loop (b/again/), 1 of other kinds (.txt)\n"
    assert text.startswith(f"{line}input 1 x 32 x 32")
    assert sum(part["count"] for part in rows[0]["data"]["left_out"]) == 3
    assert len(json.loads(table.read_text())[0]["top"]) == 5
    assert trevsnn("predict", digits_run, folder, "--top", 99, "--json", table)[0] == 0
    assert len(json.loads(table.read_text())[0]["top"]) == 10

    (folder / "a" / "broken.png").write_bytes(b"none")
    code, text, error = trevsnn("predict", digits_run, folder, samples[0], "--json", table)
    assert code == 2, "but the others have their class"
    assert "error: 1 of 5 cannot be read: " in error
    assert "broken.png" in error
    assert re.search(r"^left out: .*broken\.png' is not an image", text, re.M)
    assert [row["image"] for row in json.loads(table.read_text())] == [str(path) for path in order]
    assert trevsnn("predict", digits_run, folder, "--skip-bad-images")[0] == 0
    for options in ([], ["--skip-bad-images"]):
        code, text, error = trevsnn("predict", digits_run, folder / "a" / "broken.png", *options)
        assert (code, text) == (2, "")
        assert "broken.png' is not an image that can be read" in error


def test_invert_reaches_the_network(trevsnn, digits_run, monkeypatch):
    sample = min((digits_run / "samples").iterdir())
    seen = []
    original = predict_module.predict
    monkeypatch.setattr(predict_module, "predict", lambda *args: seen.append(args[-1]) or original(*args))
    assert trevsnn("predict", digits_run, sample)[0] == 0
    assert trevsnn("predict", digits_run, sample, "--invert")[0] == 0
    assert np.array_equal(np.array(seen[0][0]), 255 - np.array(seen[1][0]))


@pytest.mark.parametrize(
    ("name", "words"), [("n01440764", "tench, Tinca tinca"), ("n99999999", "n99999999"), ("cat", "cat")]
)
def test_classes_of_imagenet_are_put_in_words(name, words):
    assert predict_module.in_words(name) == words


def test_run_is_repeated_from_its_file_with_options_on_top(trevsnn, digits_run, tmp_path):
    code, _, _ = trevsnn(
        "train", "digits", "--recipe", digits_run / "config.toml", "--output", tmp_path / "run", "--no-aux-heads"
    )
    assert code == 0
    (before, values), (after, repeated) = (load_config(f / "config.toml") for f in (digits_run, tmp_path / "run"))
    assert before == after == "digits"
    assert repeated == values | {"aux_heads": False}
    model, _ = load_weights(tmp_path / "run" / "model.safetensors")
    assert model.config.channels == (4, 4, 8, 8)
    assert not model.config.aux_heads
    # switches are read back from a file as well
    code, _, _ = trevsnn(
        "train", "digits", "--recipe", tmp_path / "run" / "config.toml", "--output", tmp_path / "again", "--no-augment"
    )
    assert code == 0
    assert load_config(tmp_path / "again" / "config.toml")[1] == repeated | {"augment": False}


def test_resume_of_a_finished_run_prints_its_result_again(trevsnn, digits_run):
    code, text, _ = trevsnn("train", "digits", "--resume", digits_run)
    assert code == 0
    assert re.search(r"^test accuracy \S+%$", text, re.M)


def test_overwrite_starts_anew(trevsnn, digits_run, tmp_path, quick):
    run = tmp_path / "run"
    assert trevsnn("train", "digits", "--output", run, *quick)[0] == 0
    assert trevsnn("train", "digits", "--output", run, "--overwrite", "--seed", "5", *quick)[0] == 0
    assert load_config(run / "config.toml")[1]["seed"] == 5


def test_default_folder_is_named_after_the_data(trevsnn, tmp_path, monkeypatch, quick):
    monkeypatch.chdir(tmp_path)
    assert trevsnn("train", "digits", *quick)[0] == 0
    assert (tmp_path / "runs" / "digits" / "model.safetensors").exists()


@pytest.mark.usefixtures("few_event_digits")
def test_recordings_are_trained_on_and_tested(trevsnn, tmp_path, quick):
    run = tmp_path / "run"
    code, text, error = trevsnn("train", "events", "--dataset", "digits", "--output", run, *quick)
    assert code == 0, error
    assert f"trevsnn predict {run} {run / 'samples' / '0.npz'}" in text
    assert trevsnn("train", "events", "--resume", run)[0] == 0
    code, text, error = trevsnn("eval", run)
    assert code == 0, error
    assert "events/digits" in text
    assert trevsnn("eval", run, "--shuffle-frames")[0] == 0
    code, text, error = trevsnn("predict", run, run / "samples" / "0.npz")
    assert code == 0, error
    assert "0.npz" in text
    (tmp_path / "x.png").touch()
    for tokens, message in (
        (["x.png"], "x.png' is not a recording, by what it begins with; the names of recordings end in .aedat, "),
        (["x.png", "--invert"], "invert=True is for images"),
    ):
        code, _, error = trevsnn("predict", run, tmp_path / tokens[0], *tokens[1:])
        assert code == 2
        assert message in error


@pytest.mark.slow
def test_models_lists_sizes(trevsnn, tmp_path):
    code, table, _ = trevsnn("models", "--json", tmp_path / "models.json")
    assert code == 0
    rows = {row["name"]: row for row in json.loads((tmp_path / "models.json").read_text())}
    assert rows["trevsnn_small"]["parameters_training"] == 32_331_312
    assert rows["trevsnn_small"]["parameters_deployed"] == 29_787_312
    assert rows["trevsnn_small"]["macs"] == pytest.approx(10.92e9, rel=1e-3)
    assert rows["trevsnn_digits"]["input_size"] == "1x32x32"
    for part in ("trevsnn_tiny", "17,376,912", "timesteps"):
        assert part in table


def test_convert_writes_a_weights_file(trevsnn, tmp_path):
    options = {"channels": (4, 4, 8, 8), "num_classes": 6, "timesteps": 4, "kernel_size": 3}
    model = create_model("trevsnn_tiny", **options).eval()
    theirs = {official_name(name, model.config): value for name, value in model.state_dict().items()}
    checkpoint = {"model": theirs, "epoch": 3, "scaler": {}, "args": Namespace(epochs=3), "input": input}
    torch.save(checkpoint, tmp_path / "in.pth")
    code, text, _ = trevsnn("convert", tmp_path / "in.pth", tmp_path / "out.safetensors")
    assert code == 0
    assert text.splitlines()[0] == f"weights    model, {len(theirs)} tensors"
    assert text.splitlines()[1] == "left aside epoch, scaler, args, input"
    assert "out.safetensors" in text
    converted, info = load_weights(tmp_path / "out.safetensors")
    assert info.options["num_classes"] == 6
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 32, 32)).astype(np.float32))
    torch.testing.assert_close(converted(images), model(images))


def test_memory_measures_every_setting_and_draws_them(trevsnn, tmp_path, drawn):
    table, picture = tmp_path / "memory.json", tmp_path / "memory.png"
    options = ["--batch", "4", "--resolution", "16", "--timesteps", "2", "--device", "cpu", "--budget", "64MB"]
    options += ["--plot-timesteps", "1", "2"]
    code, text, _ = trevsnn("memory", "trevsnn_digits", *options, "--json", table, "--plot", picture)
    assert code == 0
    rows = {row["memory"]: row for row in json.loads(table.read_text())}
    assert rows.keys() == {"reversible", "packed", "stored"}
    assert rows["stored"]["saved_bits"] > rows["reversible"]["saved_bits"] > 0
    for row in rows.values():
        assert row["parameters"] < row["total"] < 64e6
        assert row["largest_batch"] > 4
        assert f"{row['total'] / 1e6:.1f}" in text
        assert f"{row['largest_batch']:,}" in text
    curves = {line.get_label(): dict(line.get_xydata()) for line in drawn[picture].axes[0].lines}
    assert {name: curve[2] for name, curve in curves.items()} == {
        name: row["per_image"] / 1e6 for name, row in rows.items()
    }
    assert {tuple(curve) for curve in curves.values()} == {(1, 2)}


@pytest.mark.parametrize(
    ("text", "number"),
    [("24GB", 24_000_000_000), ("1.5 GiB", 1_610_612_736), ("512MB", 512_000_000), ("8g", 8 * 10**9), ("1e6", 10**6)],
)
def test_a_budget_is_written_in_any_unit(text, number):
    assert parse_bytes(text) == number
