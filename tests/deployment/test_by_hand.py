"""The preprocessing as docs/deployment.md describes it, by numpy, Pillow and ONNX Runtime alone, against `predict`."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from helpers import documented_functions
from PIL import Image
from PIL.Image import Exif
from tolerances import assert_close

from trevsnn.data import FramePreprocessing, Preprocessing, load_dataset, open_picture
from trevsnn.data.events import Events
from trevsnn.deployment import export_onnx
from trevsnn.models import weights_info
from trevsnn.training import predict

NAMES = tuple("abcde")


@pytest.fixture(scope="module")
def by_hand():
    functions = documented_functions("deployment.md")
    assert functions.imported == {"json", "numpy", "onnxruntime", "PIL"}
    return functions


def picture(mode="RGB", size=(90, 61)):
    """Waves of different lengths in every channel, with an edge between them."""
    width, height = size
    x, y = np.meshgrid(np.linspace(0, 9, width), np.linspace(0, 7, height))
    waves = [np.sin(x + k) * np.cos(y * (1 + k)) + (x > 4 + k) for k in range(4)]
    values = np.stack([(w - w.min()) / np.ptp(w) for w in waves], -1)
    if mode.startswith("I;16"):
        return Image.fromarray((values[..., 0] * 65535).astype(np.uint16))
    rgba = Image.fromarray((values * 255).round().astype(np.uint8), "RGBA")
    return rgba if mode == "RGBA" else rgba.convert("RGB").convert(mode)


def save(drawn, path):
    if path.suffix == ".jpg":
        exif = Exif()
        exif[0x0112] = 6  # a quarter turn
        drawn.save(path, exif=exif)
    else:
        drawn.save(path)
    return path


DIGITS = Preprocessing(input_size=(1, 32, 32), native_size=(8, 8))
COLOUR = Preprocessing(input_size=(3, 32, 32), crop_pct=0.95, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
CASES = [
    (DIGITS, picture("L", (8, 8)), ".png"),
    (DIGITS, picture("L", (128, 128)), ".png"),
    (DIGITS, picture("RGB", (61, 100)), ".png"),
    (replace(DIGITS, native_size=(10, 7)), picture("L", (33, 20)), ".png"),
    (replace(DIGITS, native_size=None, crop_pct=0.875), picture("L", (45, 45)), ".png"),
    (COLOUR, picture(), ".png"),
    (COLOUR, picture(size=(301, 517)), ".jpg"),
    (COLOUR, picture(size=(20, 11)), ".webp"),
    (replace(COLOUR, crop_pct=0.875, interpolation="bilinear"), picture("CMYK"), ".jpg"),
    (replace(COLOUR, input_size=(3, 33, 48)), picture(size=(60, 61)), ".png"),
    (replace(COLOUR, input_size=(3, 33, 49)), picture(size=(60, 61)), ".png"),
    (replace(COLOUR, input_size=(3, 48, 33)), picture(), ".png"),
    (COLOUR, picture("RGBA"), ".png"),
    (COLOUR, picture("LA"), ".png"),
    (COLOUR, picture("P"), ".gif"),
    (COLOUR, picture("1"), ".png"),
    (COLOUR, picture("I;16"), ".png"),
    (DIGITS, picture("I;16"), ".tif"),
    (replace(DIGITS, native_size=None), picture("RGBA"), ".png"),
]


@pytest.mark.parametrize(("preprocessing", "drawn", "suffix"), CASES, ids=range(len(CASES)))
def test_pictures(by_hand, build, tmp_path, preprocessing, drawn, suffix):
    file, (channels, *size) = save(drawn, tmp_path / f"x{suffix}"), preprocessing.input_size
    sample = open_picture(file, channels)
    values = by_hand.picture_input(file, asdict(preprocessing))
    assert_close(torch.from_numpy(values), preprocessing.transform()(sample), "order")
    assert values.std() > 0.1
    check(by_hand.probabilities, by_hand.picture_input, build(in_chans=channels), file, sample, preprocessing, size)


def test_digits(by_hand, build, tmp_path):
    data = load_dataset("digits")
    sample = data.test.open(3, 1)
    file, model = save(sample, tmp_path / "x.png"), build(in_chans=1)
    check(by_hand.probabilities, by_hand.picture_input, model, file, sample, data.preprocessing, (32, 32))


@pytest.mark.parametrize("split_by", ["number", "time"])
@pytest.mark.parametrize("count", [40, 1003])
def test_recordings(by_hand, build, tmp_path, split_by, count):
    preprocessing = FramePreprocessing(input_size=(2, 32, 33), sensor_size=(50, 64), timesteps=4, split_by=split_by)
    generator = np.random.default_rng(0)
    t = np.sort(np.r_[generator.integers(0, 4000, count - 5), 0, 1000, 2000, 3000, 4000])  # on the edges, too
    events = Events(t + 10**15, *(generator.integers(0, limit, count) for limit in (64, 50, 2)))
    np.savez(file := tmp_path / "x.npz", **asdict(events))
    values = by_hand.recording_input(file, asdict(preprocessing))
    np.testing.assert_array_equal(values, preprocessing.transform()(events).numpy())
    model = build("trevsnn_dvs", timesteps=4)
    check(by_hand.probabilities, by_hand.recording_input, model, file, events, preprocessing, (32, 33))


def check(probabilities, to_input, model, file, sample, preprocessing, size):
    onnx = file.with_suffix(".onnx")
    about = {"class_names": NAMES, "preprocessing": asdict(preprocessing)}
    export_onnx(model, onnx, tuple(size), weights_info("trevsnn_tiny", model.config, **about))
    found, expected = probabilities(onnx, file, to_input), predict(model, preprocessing, [sample])[0].tolist()
    assert tuple(found) == NAMES
    assert_close(torch.tensor(list(found.values())), torch.tensor(expected), "exported")
    assert max(expected) < 0.999
