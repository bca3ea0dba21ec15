"""From a folder of pictures, of many sizes and modes, to predictions, all through the command line."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file
from sklearn.datasets import load_digits, load_sample_image

from trevsnn.training import RunFolder

CLASSES = ("china [tower]", "digit", "flower")
NETWORK = "--model trevsnn_digits --channels 8 16 --timesteps 2 --depth 4 --image-size 32 --device cpu"
TRAIN = f"--recipe finetune --batch-size 20 --lr 0.01 {NETWORK}".split()

LONG = ["--epochs", 12, "--workers", 2]


def pictures(count):
    """Real pictures: parts of scikit-learn's photographs, and its digits."""
    generator = np.random.default_rng(0)
    digits = load_digits().images
    photographs = {"china [tower]": load_sample_image("china.jpg"), "flower": load_sample_image("flower.jpg")}
    for i in range(count):
        for name, photograph in photographs.items():
            size = generator.integers(90, 200)
            y, x = (generator.integers(0, side - size) for side in photograph.shape[:2])
            yield name, i, Image.fromarray(photograph[y : y + size, x : x + size])
        digit = Image.fromarray((digits[i] * 15.9).astype(np.uint8))
        yield "digit", i, digit.resize((40 + i, 30 + 2 * i))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """train/ and val/ of files of every kind."""
    root = tmp_path_factory.mktemp("pictures")
    for name, i, picture in pictures(40):
        place = root / ("val" if i % 4 == 0 else "train") / name
        place.mkdir(parents=True, exist_ok=True)
        mode = ("RGB", "L", "RGBA", "CMYK", "P", "LA")[i % 6]
        path = place / f"{i}.{'jpg' if mode in ('RGB', 'CMYK') else 'png'}"
        exif = Image.Exif()
        exif[0x0112] = 1 + i % 8
        picture.convert(mode).save(path, exif=exif)
    return root


@pytest.mark.slow
def test_train_resume_evaluate_and_predict(trevsnn, folder, tmp_path):
    run, file = tmp_path / "run", tmp_path / "out.json"
    code, text, error = trevsnn("train", "imagefolder", "--data", folder, "--output", run, *TRAIN, *LONG)
    assert code == 0, error
    assert text.count("images/s") == 12

    code, _, error = trevsnn("eval", run, "--json", file)
    assert code == 0, error
    (result,) = json.loads(file.read_text())
    assert result["images"] == 30
    assert result["test_accuracy"] == RunFolder(run).read_metrics()[-1]["test_accuracy"]
    assert result["test_accuracy"] > 0.8

    images = sorted((folder / "val").rglob("*.*"))
    code, table, error = trevsnn("predict", run, *images, "--json", file)
    assert code == 0, error
    rows = json.loads(file.read_text())
    assert {row["class"] for row in rows} == set(CLASSES)
    assert np.mean([row["class"] in row["image"] for row in rows]) == result["test_accuracy"]
    assert "china [tower]" in table

    # continued from the checkpoint before the last, with the data elsewhere, it ends the same
    again = RunFolder(shutil.copytree(run, tmp_path / "again"))
    again.saved_states()[0].unlink()
    again.weights.unlink()
    moved = shutil.copytree(folder, tmp_path / "moved")
    code, _, error = trevsnn("train", "imagefolder", "--resume", again.path, "--data", moved, "--workers", 0)
    assert code == 0, error
    expected, actual = load_file(run / "model.safetensors"), load_file(again.weights)
    assert all((actual[name] == value).all() for name, value in expected.items())

    # the weights alone predict and are tested elsewhere, on a folder that has no train/
    shutil.copy(run / "model.safetensors", tmp_path / "w.safetensors")
    code, _, error = trevsnn("eval", tmp_path / "w.safetensors", "--data", moved / "val", "--json", file)
    assert code == 0, error
    assert json.loads(file.read_text())[0]["test_accuracy"] == result["test_accuracy"]
    assert f" {rows[0]['class']} " in trevsnn("predict", tmp_path / "w.safetensors", images[0])[1]

    # a run with a split of its own is tested elsewhere only on the share that is asked for
    options = ["--val-split", 0.25, *TRAIN, "--epochs", 1, "--workers", 0, "--output", tmp_path / "split"]
    code, _, error = trevsnn("train", "imagefolder", "--data", folder / "train", *options)
    assert code == 0, error
    assert trevsnn("eval", tmp_path / "split", "--json", file)[0] == 0
    assert json.loads(file.read_text())[0]["images"] == 24
    code, _, error = trevsnn("eval", tmp_path / "split", "--data", moved / "train")
    assert code == 2
    assert "give --val-split 0.25 for the same share" in error
    for share, count in ((0.25, 24), (1, 90)):
        evaluate = ["eval", tmp_path / "split", "--data", moved / "train", "--val-split", share]
        assert trevsnn(*evaluate, "--json", file)[0] == 0
        assert json.loads(file.read_text())[0]["images"] == count

    # and start another training, on a part of the classes
    shutil.rmtree(moved / "val" / "digit")
    shutil.rmtree(moved / "train" / "digit")
    options = ["--data", moved, "--weights", run, "--output", tmp_path / "fine", "--epochs", 1, "--image-size", 32]
    code, text, error = trevsnn("train", "imagefolder", *options, "--batch-size", 20, "--workers", 0)
    assert code == 0, error
    assert re.search(r"^  new +aux_heads.*, head.*: of another shape, or for other classes$", text, re.MULTILINE)
    assert trevsnn("predict", tmp_path / "fine", images[0], "--json", file)[0] == 0
    assert json.loads(file.read_text())[0]["probabilities"].keys() == {"china [tower]", "flower"}


def test_a_broken_picture_stops_the_run_or_is_listed(trevsnn, folder, tmp_path):
    data, run = shutil.copytree(folder, tmp_path / "data"), tmp_path / "run"
    broken = data / "train" / "flower" / "1.png"
    broken.write_bytes(broken.read_bytes()[:500])
    options = ["--data", data, "--output", run, *TRAIN, "--epochs", 1, "--workers", 0]
    code, _, error = trevsnn("train", "imagefolder", *options)
    assert code == 2
    assert error.count("\n") == 1
    assert "train/flower/1.png' is not an image that can be read" in error
    assert "--skip-bad-images" in error
    code, text, _ = trevsnn("train", "imagefolder", *options, "--skip-bad-images", "--overwrite")
    assert code == 0
    assert "1 unreadable images" in text
    (line,) = (run / "bad_images.txt").read_text().splitlines()
    assert str(broken) in line
    (data / "val" / "flower" / "0.jpg").write_bytes(b"")
    code, _, error = trevsnn("eval", run)
    assert code == 2
    assert "val/flower/0.jpg' is not an image" in error
    code, text, _ = trevsnn("eval", run, "--skip-bad-images")
    assert code == 0
    assert "left out: " in text
    assert "0.jpg" in text


def test_a_dry_run_writes_nothing_and_says_what_to_expect(trevsnn, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("trevsnn.training.forecast.MOST_LOADED", 2)
    options = ["--data", folder, *TRAIN, "--workers", 0, "--dry-run", "--json", tmp_path / "out.json"]
    code, text, error = trevsnn("train", "imagefolder", *options)
    assert code == 0, error
    assert [file.name for file in tmp_path.iterdir()] == ["out.json"]
    assert "4 steps of 20 images" in text
    assert "for 10 epochs" in text
    for line in ("loading alone", "training alone", "memory", "whole run"):
        assert line in text
    (row,) = json.loads((tmp_path / "out.json").read_text())
    slower = row["loading_images_per_second"] < row["training_images_per_second"]
    assert ("warning: images are loaded slower than trained on" in text) == slower


def test_recipes_are_listed_and_printed(trevsnn):
    code, text, _ = trevsnn("recipes")
    assert code == 0
    assert re.search(r"^imagenet_small +ImageNet as published", text, re.MULTILINE)
    code, text, _ = trevsnn("recipes", "imagenet_small")
    assert 'auto_augment = "rand-m9-mstd0.5-inc1"\n' in text


def test_options_on_top_of_a_recipe(trevsnn, tmp_path, quick):
    recipe = tmp_path / "my.toml"
    recipe.write_text("# mine\nepochs = 5\nlabel_smoothing = 0.2\nrotation = 3.0\n")
    run = RunFolder(tmp_path / "run")
    code, _, error = trevsnn("train", "digits", "--recipe", recipe, "--rotation", 4, "--output", run.path, *quick)
    assert code == 0, error
    values = run.read_config()[1]
    assert (values["epochs"], values["label_smoothing"], values["rotation"], values["zoom"]) == (1, 0.2, 4.0, 0.0)
