from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform

from trevsnn.data import Augmentation, Preprocessing
from trevsnn.data.augmentation import RandomRoll
from trevsnn.data.seeding import random_state

COLOUR = Preprocessing(input_size=(3, 32, 32), mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2))
NONE = Augmentation()
OTHER = {
    "crop_scale": (0.2, 0.5),
    "hflip": 1.0,
    "rotation": 45.0,
    "shift": 0.3,
    "roll": 0.3,
    "zoom": 0.5,
    "shear": 30.0,
    "auto_augment": "rand-m9-mstd0.5-inc1",
    "color_jitter": 0.8,
    "random_erasing": 1.0,
}


@pytest.fixture(scope="module")
def picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8))


def run(augmentation, picture, preprocessing=COLOUR):
    with random_state(3, 1):
        return augmentation.transform(preprocessing)(picture)


def test_nothing_is_done_by_default(picture):
    assert torch.equal(run(NONE, picture), COLOUR.transform()(picture))


@pytest.mark.parametrize("name", OTHER)
def test_every_option_has_an_effect_and_augment_turns_all_off(picture, name):
    varied = replace(NONE, **{name: OTHER[name]})
    image = run(varied, picture)
    assert image.shape == (3, 32, 32)
    assert not torch.equal(image, run(NONE, picture))
    assert torch.equal(image, run(varied, picture)), "follows from the random state"
    assert torch.equal(run(replace(varied, augment=False), picture), run(NONE, picture))


def test_interpolation_reaches_the_random_crop(picture):
    crops = {
        kind: run(Augmentation(crop_scale=(0.2, 0.5), train_interpolation=kind), picture)
        for kind in ("bilinear", "bicubic")
    }
    assert not torch.equal(crops["bilinear"], crops["bicubic"])


def test_published_augmentation_is_timms(picture):
    ours = Augmentation(
        crop_scale=(0.08, 1.0), hflip=0.5, auto_augment="rand-m9-mstd0.5-inc1", color_jitter=0.4, random_erasing=0.25
    )
    theirs = create_transform(
        (3, 32, 32), is_training=True, hflip=0.5, auto_augment="rand-m9-mstd0.5-inc1", color_jitter=0.4, re_prob=0.25,
        re_mode="pixel", interpolation="random", mean=COLOUR.mean, std=COLOUR.std,
    )  # fmt: skip
    for key in range(5):
        with random_state(key):
            expected = theirs(picture)
        with random_state(key):
            assert torch.equal(ours.transform(COLOUR)(picture), expected)


def test_roll_loses_nothing():
    image = torch.arange(2 * 3 * 10 * 20.0).reshape(2, 3, 10, 20)
    found = set()
    for seed in range(100):
        with random_state(seed):
            rolled = RandomRoll(0.2)(image)
        down, right = (int(x) for x in (rolled == image[0, 0, 0, 0]).nonzero()[0][-2:])
        found.add(((down + 5) % 10 - 5, (right + 10) % 20 - 10))
        assert torch.equal(rolled, image.roll((down, right), (-2, -1)))
    assert {min(x) for x in zip(*found, strict=True)} == {-2, -4}
    assert {max(x) for x in zip(*found, strict=True)} == {2, 4}


def test_shift_enters_black():
    white = Image.new("L", (32, 32), 255)
    grey = Preprocessing(input_size=(1, 32, 32))
    image = run(Augmentation(shift=1.0), white, grey)
    assert image.min() == -1


@pytest.mark.parametrize("option", [{"mixup": 1.0}, {"cutmix": 1.0}, {"mixup": 0.2, "cutmix": 1.0}], ids=str)
@pytest.mark.parametrize("count", [6, 7, 1])
def test_mixed_targets_are_shares(option, count):
    images, labels = torch.randn(count, 3, 8, 8), torch.arange(count)
    with random_state(0):
        mixed, targets = Augmentation(**option).mix(images.clone(), labels, 10)
    assert mixed.shape == images.shape
    assert targets.shape == (count, 10)
    torch.testing.assert_close(targets.sum(1), torch.ones(count))
    assert torch.equal(mixed, images) == (count == 1)
    with random_state(0):
        assert Augmentation(augment=False, **option).mix(images, labels, 10)[1] is labels


@pytest.mark.parametrize("policy", ["rand-m10-n5-inc1", "originalr", "augmix-m10", "3a"])
@pytest.mark.parametrize("channels", [1, 3])
def test_policies_at_their_strongest(picture, policy, channels):
    """Some keep no bit of a picture, which Pillow refuses by itself."""
    size = Preprocessing(input_size=(channels, 32, 32), mean=(0.5,) * channels, std=(0.2,) * channels)
    vary, picture = Augmentation(auto_augment=policy).transform(size), picture.convert("L" if channels == 1 else "RGB")
    for number in range(60):
        with random_state(number):
            assert vary(picture).shape == (channels, 32, 32)


@pytest.mark.parametrize(
    "bad",
    [
        {"augment": "yes"},
        {"crop_scale": (0.5, 0.2)},
        {"crop_scale": (0.0, 1.0)},
        {"crop_scale": 0.5},
        {"crop_scale": (0.5, 2.0)},
        {"train_interpolation": "nearest"},
        {"hflip": 2},
        {"shift": -0.1},
        {"rotation": 200},
        {"zoom": 1.0},
        {"shear": 90},
        {"auto_augment": "rnd-m9"},
        {"auto_augment": "augmix-a0"},
        {"auto_augment": 3},
        {"color_jitter": -1},
        {"random_erasing": float("nan")},
        {"mixup": -1},
        {"cutmix": "much"},
    ],
    ids=str,
)
def test_bad_value_is_named(bad):
    (name,) = bad
    with pytest.raises(ValueError, match=f"^{name}=.* must be "):
        Augmentation(**bad)


def test_preprocessing_survives_json_and_refuses_nonsense():
    assert Preprocessing.from_dict({"input_size": [3, 32, 32], "mean": [0.5] * 3, "std": [1] * 3}).mean == (0.5,) * 3
    for bad in ({}, {"input_size": 3}, {"input_size": [3, 8, 8], "size": 1}, {"input_size": [3, 8, 8], "crop_pct": 0},
                {"input_size": [3, 8, 8], "interpolation": "magic"}, {"input_size": [3, 8, 8], "std": [1] * 2},
                {"input_size": [3, 2**30, 2**30]}, {"input_size": [3, 2**13, 2**13]}, {"input_size": ["3", 8, 8]},
                {"input_size": [3, 8, 8], "native_size": [2**30, 8]}, {"input_size": [3, 8, 8], "crop_pct": 1e-9},
                {"input_size": [3, 8, 8], "crop_pct": "1"}):  # fmt: skip
        with pytest.raises(ValueError, match="is not one"):
            Preprocessing.from_dict(bad)


def test_evaluation_transform_is_the_published_one():
    """Shorter side to 232 pixels, central 224."""
    preprocessing = Preprocessing(input_size=(3, 224, 224), crop_pct=224 / 232, mean=(0.5,) * 3, std=(0.5,) * 3)
    picture = Image.new("RGB", (464, 928))
    resized = preprocessing.geometry()[0](picture)
    assert resized.size == (232, 464)
    assert preprocessing.transform()(picture).shape == (3, 224, 224)
    theirs = create_transform(
        (3, 224, 224), crop_pct=224 / 232, interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3
    )
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8))
    assert torch.equal(preprocessing.transform()(noise), theirs(noise))
