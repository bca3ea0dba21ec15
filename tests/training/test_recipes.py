import pytest

from trevsnn.models import create_model
from trevsnn.training import TrainConfig
from trevsnn.training.config import parse_config
from trevsnn.training.recipes import default_recipe, list_recipes, read_recipe

PUBLISHED = {
    "model": "trevsnn_small", "epochs": 300, "batch_size": 512, "effective_batch": 4096, "precision": "fp16",
    "optimizer": "lamb", "lr": 2e-3, "lr_base_size": 1024, "warmup_lr": 1e-5, "min_lr": 1e-6, "warmup_epochs": 20,
    "weight_decay": 0.01, "clip_grad": 0.02, "ema_decay": 0.9992, "ema_warmup": False, "label_smoothing": 0.1,
    "crop_scale": (0.08, 1.0),
    "train_interpolation": "random", "hflip": 0.5, "auto_augment": "rand-m9-mstd0.5-inc1", "color_jitter": 0.4,
    "random_erasing": 0.25, "mixup": 0, "cutmix": 0, "seed": 118,
}  # fmt: skip
"""Of T-RevSNN small: the paper, and the log and code that came with it."""


def config(name):
    return TrainConfig(**parse_config(read_recipe(name), name)[1])


def differing(left, right):
    """Names of settings that are not the same."""
    left, right = left.by_name(), right.by_name()
    return {name for name in left | right if left.get(name) != right.get(name)}


@pytest.mark.parametrize("name", list_recipes())
def test_every_recipe_is_one(name):
    recipe = config(name)
    if recipe.model is not None:
        create_model(recipe.model, num_classes=10, **recipe.model_options)
    assert read_recipe(name).startswith("# ")


def test_the_published_recipe_to_the_letter():
    recipe = config("imagenet_small")
    assert differing(recipe, TrainConfig(**PUBLISHED)) == set()
    assert differing(recipe, config("imagenet_tiny")) == {"model"}
    assert config("imagenet_tiny").model == "trevsnn_tiny"


def test_names():
    assert list_recipes() == [
        "cifar10", "cifar10dvs", "digits", "dvs128gesture", "event_digits", "event_digits_bptt", "finetune",
        "imagenet_small", "imagenet_tiny", "nmnist",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="recipe 'imagenet_smal' is unknown; did you mean 'imagenet_small'"):
        read_recipe("imagenet_smal")


def test_what_is_taken_by_default():
    expected = {
        "digits": "digits",
        "cifar10": "cifar10",
        "cifar100": "cifar10",
        "events/cifar10dvs": "cifar10dvs",
        "events/digits": "event_digits",
        "events/dvs128gesture": "dvs128gesture",
        "events/folder": "dvs128gesture",
        "events/nmnist": "nmnist",
        "imagefolder": "finetune",
        "webdataset": "finetune",
    }
    assert {name: default_recipe(name) for name in expected} == expected
    assert set(expected.values()) <= set(list_recipes())
