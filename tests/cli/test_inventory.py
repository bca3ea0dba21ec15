"""Every command begins with what was found and what was left out; JSON and the run folder have the whole list."""

import json

import numpy as np
import pytest
from PIL import Image

OPTIONS = "--model trevsnn_digits --channels 4 4 8 8 --timesteps 1 --image-size 32 --device cpu --workers 0"
NETWORK = OPTIONS.split()
TRAIN = ["--recipe", "finetune", "--epochs", 1, "--batch-size", 4, *NETWORK]
LINE = (
    "data            imagefolder: 10 to train on, 4 to test on, 2 classes; left out 3: 2 of other kinds (.txt), "
    "1 dead link (train/cat/gone.png)"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    for split, count in (("train", 5), ("val", 2)):
        for number, name in enumerate(("cat", "dog")):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (40, 40), (120 * number, 9 * i, 0)).save(root / split / name / f"{i}.png")
            (root / split / "cat" / "notes.txt").touch()
    (root / "train" / "cat" / "gone.png").symlink_to("nowhere")
    return root


def test_every_command_begins_with_it(trevsnn, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("trevsnn.training.forecast.MOST_LOADED", 1)
    run, file = tmp_path / "run", tmp_path / "out.json"
    left_out = [
        {
            "why": "of other kinds",
            "count": 2,
            "extensions": {".txt": 2},
            "names": ["train/cat/notes.txt", "val/cat/notes.txt"],
            "not_named": 0,
        },
        {"why": "dead links", "count": 1, "names": ["train/cat/gone.png"], "not_named": 0},
    ]

    def check(*tokens, rows=1):
        code, text, error = trevsnn(*tokens)
        assert code == 0, error
        assert text.startswith(f"{LINE}\n")
        assert text.count("left out 3:") == rows
        return text

    def listed(*tokens):
        check(*tokens, "--json", file)
        (data, *others) = [row["data"] for row in json.loads(file.read_text()) if "data" in row]
        assert not others
        assert data["left_out"] == left_out
        assert data["test"]["classes"] == [{"class": "cat", "samples": 2}, {"class": "dog", "samples": 2}]
        assert data["folder"] == str(folder)
        return data

    start = ["train", "imagefolder", "--data", folder, *TRAIN]
    listed(*start, "--dry-run")
    data = listed(*start, "--output", run)
    assert "every epoch leaves out 2 of 10" in check(*start, "--output", run, "--overwrite")
    assert json.loads((run / "data.json").read_text()) == data
    (run / "data.json").write_text("{}")
    check("train", "imagefolder", "--resume", run)
    assert json.loads((run / "data.json").read_text()) == data
    listed("eval", run)
    listed("energy", run, "--images", 2)
    check("report", run, "--images", 2)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--batch-size", 4], "2 of 10, others each time, which fill no step of 4; --batch-size 3 leaves out 1"),
        (["--batch-size", 3], "1 of 10, others each time, which fill no step of 3; --batch-size 2 leaves out none"),
        (
            ["--batch-size", 2, "--effective-batch", 6],
            "4 of 10, others each time, which fill no step of 6; --effective-batch 4 leaves out 2",
        ),
        (["--batch-size", 5], None),
    ],
)
def test_images_that_fill_no_step_are_told(trevsnn, folder, monkeypatch, options, told):
    monkeypatch.setattr("trevsnn.training.forecast.MOST_LOADED", 1)
    start = ["train", "imagefolder", "--data", folder, "--recipe", "finetune", "--epochs", 1, *NETWORK]
    code, text, error = trevsnn(*start, "--dry-run", *options)
    assert code == 0, error
    text = " ".join(text.split())
    assert f"note every epoch leaves out {told} " in text if told else "every epoch" not in text
    assert text.count("every epoch") == bool(told)


def test_data_that_come_with_the_package(trevsnn, digits_run):
    code, text, _ = trevsnn("eval", digits_run)
    assert code == 0
    assert text.startswith("data            digits: 1,437 to train on, 360 to test on, 10 classes\n")
    listed = json.loads((digits_run / "data.json").read_text())
    assert (listed["folder"], listed["left_out"]) == (None, [])
    assert sum(row["samples"] for row in listed["train"]["classes"]) == 1437


def test_recordings_as_spikingjelly_lays_them_out(trevsnn, tmp_path):
    for folder in ("download", "extract/a", "frames_number_8_split_by_number/a"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("a", "b"):
        (tmp_path / "events_np" / name).mkdir(parents=True)
        for i in range(4):
            events = {"t": np.arange(99), "x": np.full(99, i), "y": np.full(99, 3), "p": np.ones(99, int)}
            np.savez(tmp_path / "events_np" / name / f"{i}.npz", **events)
        (tmp_path / "events_np" / name / "notes.csv").touch()
    options = "--val-split 0.25 --dataset folder --sensor-size 32 32 --epochs 1 --warmup-epochs 0 --batch-size 3"
    network = "--channels 4 4 --timesteps 2 --device cpu --workers 0"
    start = ["train", "events", "--data", tmp_path, *options.split(), *network.split(), "--output", tmp_path / "run"]
    code, text, error = trevsnn(*start)
    assert code == 0, error
    assert text.startswith(
        "data            events/folder: 6 to train on, 2 to test on (0.25 of each class, drawn with seed 0), "
        "2 classes; left out 2: 2 of other kinds (.csv); .csv is text: save its columns by np.savez("
    )
    assert (tmp_path / ".frames").is_dir()
