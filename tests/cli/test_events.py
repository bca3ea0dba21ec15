"""From a folder of recordings to predictions, all through the command line."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from recordings import write_cifar10dvs, write_gestures, write_nmnist
from safetensors.torch import load_file

from trevsnn.data import FramePreprocessing
from trevsnn.data.events.cifar10dvs import OBJECTS
from trevsnn.training import RunFolder

NETWORK = "--image-size 32 --channels 8 16 --kernel-size 3 --timesteps 3 --depth 3 --batch-size 10 --device cpu"
PLAIN = "--warmup-epochs 0 --roll 0 --rotation 0 --shear 0 --random-erasing 0 --ema-decay 0.8"
TRAIN = f"--sensor-size 40 48 --lr 0.01 {NETWORK} {PLAIN}".split()

EPOCHS = 12


def moving_bar(rightwards, generator):
    """Events of a bar that crosses the sensor of 40 x 48 pixels within a tenth of a second."""
    t = np.sort(generator.integers(0, 100_000, 600))
    x = (t * 48 // 100_000 + generator.integers(-2, 3, 600)).clip(0, 47)
    return {"t": t, "x": x if rightwards else 47 - x, "y": generator.integers(0, 40, 600), "p": np.ones(600, int)}


@pytest.fixture
def folder(tmp_path):
    generator = np.random.default_rng(0)
    for i in range(40):
        for name in ("left", "right"):
            place = tmp_path / "data" / ("val" if i % 4 == 0 else "train") / name
            place.mkdir(parents=True, exist_ok=True)
            np.savez(place / f"{i}.npz", **moving_bar(name == "right", generator))
    return tmp_path / "data"


def train(trevsnn, folder, run, *options, epochs=1, workers=2):
    of_folder = ["--dataset", "folder", "--data", folder, "--epochs", epochs, "--workers", workers]
    return trevsnn("train", "events", *of_folder, *TRAIN, "--output", run, *options)


@pytest.mark.slow
def test_which_way_a_bar_moves(trevsnn, folder, tmp_path, drawn):
    run = tmp_path / "run"
    code, text, error = train(trevsnn, folder, run, epochs=EPOCHS)
    assert code == 0, error
    assert "converting 60 recordings to frames in " in text
    assert "converting 20 recordings" in text
    place = folder / ".frames" / "events-folder" / "v2-3-by-number-32x32-of-40x48"
    assert len(list(place.rglob("*.npz"))) == 80
    assert RunFolder(run).read_metrics()[-1]["test_accuracy"] > 0.9
    assert RunFolder(run).confusion.is_file()

    # the frames are there for another run, which comes out the same
    code, text, _ = train(trevsnn, folder, tmp_path / "again", epochs=EPOCHS)
    assert code == 0
    assert "converting" not in text
    weights, again = (load_file(RunFolder(path).weights) for path in (run, tmp_path / "again"))
    assert all(np.array_equal(weights[name], again[name]) for name in weights)

    # a run says itself which recordings it is of
    code, text, error = trevsnn("train", "events", "--resume", run)
    assert code == 0, error
    code, _, error = trevsnn("train", "events", "--dataset", "digits", "--resume", run)
    assert code == 2
    assert "is for the dataset 'events/folder', not 'events/digits'" in error

    # without the frames it is tested, and with a picture of what was taken for what
    shutil.rmtree(folder / ".frames")
    assert trevsnn("eval", run, "--json", tmp_path / "a.json", "--confusion", tmp_path / "a.png")[0] == 0
    (row,) = json.loads((tmp_path / "a.json").read_text())
    assert row["test_accuracy"] == RunFolder(run).read_metrics()[-1]["test_accuracy"]
    assert row["split"] == "its own"
    (axes,) = drawn[tmp_path / "a.png"].axes
    assert axes.images[0].get_array().trace() / 20 == row["test_accuracy"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["left", "right"]
    assert "5 of 20 test recordings of events/folder" in trevsnn("energy", run, "--images", 5, "--workers", 0)[1]
    code, text, _ = trevsnn("eval", run, "--shuffle-frames", "--json", tmp_path / "a.json")
    (row,) = json.loads((tmp_path / "a.json").read_text())
    assert row["test_accuracy"] < 0.9, "all that tells the classes apart is the order of the frames"

    # a picture of a recording, and of what the network makes of it
    sample = RunFolder(run).samples / "left.npz"
    sizes = []
    for name, options in (("plain", ["--timesteps", 5, "--time", 0, 0.05]), ("run", ["--run", run])):
        code, text, error = trevsnn("show", sample, "--output", tmp_path / f"{name}.png", *options)
        assert code == 0, error
        with Image.open(tmp_path / f"{name}.png") as picture:
            colours = picture.convert("RGB").getcolors(10**7)
            sizes.append(picture.size)
        assert sum(count for count, (red, _, blue) in colours if red > blue + 60) > 100, "its events are all brighter"
    assert sizes[1][1] > sizes[0][1]

    # and the samples that it has put by are recognised
    samples = sorted(RunFolder(run).samples.iterdir())
    assert [path.name for path in samples] == ["left.npz", "right.npz"]
    assert trevsnn("predict", run, *samples, "--json", tmp_path / "a.json")[0] == 0
    assert [row["class"] for row in json.loads((tmp_path / "a.json").read_text())] == ["left", "right"]


def test_bad_recordings(trevsnn, folder, tmp_path):
    np.savez(folder / "train" / "left" / "1.npz", t=[], x=[], y=[], p=[])
    np.savez(folder / "val" / "right" / "4.npz", t=[2, 1, 1, 1], x=[1] * 4, y=[1] * 4, p=[1] * 4)
    run = tmp_path / "run"
    code, _, error = train(trevsnn, folder, run)
    assert code == 2
    assert "recording 'train/left/1.npz' cannot be cut into frames: 0 events are too few" in error
    assert error.count("\n") == 1
    assert not run.exists() or not RunFolder(run).holds_run()
    code, text, error = train(trevsnn, folder, run, "--skip-bad-images")
    assert code == 0, error
    shutil.copytree(folder / "val", tmp_path / "bad")
    for path in (tmp_path / "bad").rglob("*.npz"):
        path.write_bytes(b"")
    code, _, error = trevsnn("eval", run, "--data", tmp_path / "bad", "--shuffle-frames", "--skip-bad-images")
    assert code == 2
    assert "there is no image to test on that can be read" in error
    assert "2 unreadable recordings" in text
    bad = RunFolder(run).bad_images.read_text()
    assert "left/1.npz" in bad
    assert "right/4.npz': time goes backwards after event 0, from 2 to 1 microseconds" in bad


def test_frames_have_a_folder_that_can_be_chosen(trevsnn, folder, tmp_path):
    run = tmp_path / "run"
    (folder / ".frames").write_text("in the way")
    code, _, error = train(trevsnn, folder, run)
    assert code == 2
    assert "frames cannot be written: " in error
    assert "choose another folder: --cache DIR" in error
    assert train(trevsnn, folder, run, "--cache", tmp_path / "frames")[0] == 0
    assert len(list((tmp_path / "frames").rglob("*.npz"))) == 80
    # a dry run takes the frames that there are, and makes none
    (folder / ".frames").unlink()
    code, _, error = train(trevsnn, folder, run, "--dry-run")
    assert code == 0, error
    assert not (folder / ".frames").exists()


def test_signal_within_the_conversion(trevsnn, folder, tmp_path, monkeypatch):
    """Those that were converted are not converted again."""
    import signal

    from trevsnn.training import event_frames

    whole = event_frames.prepare_frames

    def interrupted(*arguments):
        for number, part in enumerate(whole(*arguments)):
            if number == 2:
                signal.raise_signal(signal.SIGINT)
            yield part

    monkeypatch.setattr(event_frames, "prepare_frames", interrupted)
    code, _, error = train(trevsnn, folder, tmp_path / "run", workers=0)
    assert code == 130
    assert "interrupted" in error
    monkeypatch.undo()
    kept = len(list((folder / ".frames").rglob("*.npz")))
    assert 0 < kept < 60
    converted, convert = [], FramePreprocessing.convert_named

    def counted(preprocessing, events, name):
        converted.append(name)
        return convert(preprocessing, events, name)

    monkeypatch.setattr(FramePreprocessing, "convert_named", counted)
    assert train(trevsnn, folder, tmp_path / "run", workers=0)[0] == 0
    assert len(converted) == 60 + 20 - kept


def test_show_refuses_what_cannot_be_shown(trevsnn, folder, tmp_path, digits_run):
    sample, far = folder / "train" / "left" / "1.npz", tmp_path / "far.npz"
    np.savez(far, t=[1], x=[32767], y=[32767], p=[0])
    for tokens, message in (
        ([tmp_path / "none.npz"], "none.npz' does not exist"),
        ([sample, "--run", digits_run], "is of images; give one of events"),
        ([sample, "--sensor-size", 8, 8], "do not fit a sensor of 8 x 8"),
        ([sample, "--time", 5, 6], "cannot be cut into frames: 0 events are too few for 8 frames"),
        ([sample, "--time", 0, "inf"], "time=(0.0, inf) must be two numbers of seconds"),
        ([far], "a sensor of 32768 x 32768 pixels is too large to be shown; give --sensor-size"),
        ([sample, "--run", digits_run, "--timesteps", 3], "timesteps=3 is the run's to say"),
        ([sample, "--output", tmp_path / "none" / "a.png"], "does not exist"),
    ):
        output = [] if "--output" in tokens else ["--output", tmp_path / "a.png"]
        code, _, error = trevsnn("show", *tokens, *output)
        assert code == 2
        assert message in error
        assert error.count("\n") == 1
    assert not (tmp_path / "a.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cifar10dvs", "dvs128gesture", "nmnist"])
def test_public_data_sets_by_their_recipes(trevsnn, tmp_path, name):
    """As far as tiny recordings go: from the files of the archives to a trained network and its test."""
    if name == "cifar10dvs":
        write_cifar10dvs(tmp_path / "data", OBJECTS, 10)
    elif name == "dvs128gesture":
        write_gestures(tmp_path / "data", 22)
    else:
        write_nmnist(tmp_path / "data", 2)
    run = tmp_path / "run"
    quick = "--epochs 1 --warmup-epochs 0 --channels 4 8 --timesteps 4 --depth 4 --image-size 32 --batch-size 10"
    quick += " --device cpu --workers 0"
    command = ["train", "events", "--dataset", name, "--data", tmp_path / "data", "--output", run]
    code, text, error = trevsnn(*command, *quick.split())
    assert code == 0, error
    assert ("on 0.1 of each class, drawn with seed 0" in text) == (name == "cifar10dvs")
    assert trevsnn("eval", run, "--json", tmp_path / "row.json")[0] == 0
    (row,) = json.loads((tmp_path / "row.json").read_text())
    assert row["images"] == {"cifar10dvs": 10, "dvs128gesture": 22, "nmnist": 20}[name]
    assert row["test_accuracy"] == RunFolder(run).read_metrics()[-1]["test_accuracy"]
    file = sorted((tmp_path / "data").rglob("*.aedat" if name != "nmnist" else "*.bin"))[0]
    code, text, error = trevsnn("predict", run, file)
    assert code == 0, error
    assert trevsnn("show", file, "--run", run, "--output", tmp_path / "a.png")[0] == 0
