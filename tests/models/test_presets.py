from dataclasses import replace
from math import prod

import pytest
import timm
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, create_transform, resolve_data_config

from trevsnn import create_model, list_models
from trevsnn.models import save_weights
from trevsnn.models.baselines import spikingjelly_is_installed

NEEDS_SPIKINGJELLY = pytest.mark.skipif(not spikingjelly_is_installed(), reason="SpikingJelly is not installed")


def test_names():
    ours = [name for name in list_models() if name.startswith("trevsnn_")]
    assert ours == ["trevsnn_digits", "trevsnn_dvs", "trevsnn_small", "trevsnn_tiny"]
    assert set(list_models()) <= set(timm.list_models())


def test_timm_builds_the_same_network():
    torch.manual_seed(0)
    ours = create_model("trevsnn_digits", timesteps=2)
    torch.manual_seed(0)
    theirs = timm.create_model("trevsnn_digits", timesteps=2)
    assert ours.config == theirs.config
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())


def test_checkpoint_brings_its_options_and_weights(tmp_path):
    model = create_model("trevsnn_digits", timesteps=2, channels=(4, 4, 8, 8), num_classes=3).eval()
    save_weights(model, tmp_path / "w.safetensors", model.described())
    loaded = create_model("trevsnn_digits", checkpoint=tmp_path / "w.safetensors", memory="packed").eval()
    assert loaded.config == replace(model.config, memory="packed")
    image = torch.randn(1, 1, 32, 32)
    assert torch.equal(loaded(image), model(image))
    other = create_model("trevsnn_digits", checkpoint=tmp_path / "w.safetensors", num_classes=5).eval()
    assert torch.equal(other.forward_features(image), model.forward_features(image))
    assert other(image).shape == (1, 5)


def test_checkpoint_that_does_not_fit_is_named(tmp_path):
    model = create_model("trevsnn_digits", timesteps=2, channels=(4, 4, 8, 8), num_classes=3)
    save_weights(model, tmp_path / "w.safetensors", model.described())
    for name, options, message in [
        ("trevsnn_tiny", {}, "is of trevsnn_digits, not trevsnn_tiny"),
        ("trevsnn_digits", {"timesteps": 3}, "does not fit its network: unknown, missing or of another shape: "),
        ("trevsnn_digits", {"kernel_size": 5}, "depthwise.* and .* more"),
    ]:
        with pytest.raises(ValueError, match=message):
            create_model(name, checkpoint=tmp_path / "w.safetensors", **options)
    with pytest.raises(ValueError, match=r"nowhere\.safetensors' does not exist"):
        create_model("trevsnn_digits", checkpoint=tmp_path / "nowhere.safetensors")


def test_timm_options_reach_the_network():
    model = timm.create_model("trevsnn_digits", num_classes=3, in_chans=2, drop_rate=0.1, drop_path_rate=0.2)
    config = model.config
    assert (config.num_classes, config.in_chans, config.drop_rate, config.drop_path_rate) == (3, 2, 0.1, 0.2)


@pytest.mark.parametrize(("name", "size"), [("trevsnn_small", (3, 224, 224)), ("trevsnn_digits", (1, 32, 32))])
def test_timm_finds_size_and_transform_in_the_default_configuration(name, size):
    with torch.device("meta"):
        model = timm.create_model(name)
    config = resolve_data_config(model=model)
    assert config["input_size"] == size
    create_transform(**config)
    if name == "trevsnn_small":
        assert round(224 / config["crop_pct"]) == 232
    named = model.default_cfg["classifier"]
    assert all(hasattr(model.get_submodule(layer), "weight") for layer in named)
    assert hasattr(model.get_submodule(model.default_cfg["first_conv"]), "weight")


def test_published_shapes():
    with torch.device("meta"):
        small, tiny = create_model("trevsnn_small").config, create_model("trevsnn_tiny").config
    assert (small.channels, small.kernel_size, small.timesteps) == ((96, 192, 384, 512), 5, 4)
    assert (tiny.channels, tiny.kernel_size, tiny.timesteps) == ((64, 128, 256, 384), 5, 4)


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"'trevsnn_smal' is unknown; did you mean 'trevsnn_small'\?"):
        create_model("trevsnn_smal")
    with pytest.raises(ValueError, match=r"choose from .*trevsnn_digits, trevsnn_dvs, trevsnn_small, trevsnn_tiny"):
        create_model("vgg11")
    with pytest.raises(ValueError, match=r"'timestep' is not an option of trevsnn_small; did you mean 'timesteps'\?"):
        create_model("trevsnn_small", timestep=2)


def test_what_timm_offers_and_we_do_not_is_refused():
    with pytest.raises(ValueError, match="features_only is not available"):
        timm.create_model("trevsnn_digits", features_only=True)


def test_every_named_network_is_built_for_the_images_of_its_default_configuration():
    """The entry points themselves, without `timm.create_model`, which fills in their defaults."""
    images = {
        "digits": (10, (1, 32, 32), (0.5,), (0.5,), 1.0),
        "dvs": (10, (2, 128, 128), (0.0, 0.0), (1.0, 1.0), 1.0),
    }
    imagenet = 1000, (3, 224, 224), IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
    for name in list_models():
        with torch.device("meta"):
            model = timm.models.model_entrypoint(name)()
        cfg, config = resolve_data_config(model=model), model.config
        crop = 224 / 232 if name.startswith("trevsnn_") else 224 / 256
        expected = images.get(name.rpartition("_")[2], (*imagenet, crop))
        assert (config.num_classes, *(cfg[key] for key in ("input_size", "mean", "std", "crop_pct"))) == expected, name
        assert (config.num_classes, config.in_chans) == (model.default_cfg["num_classes"], cfg["input_size"][0])
        assert cfg["interpolation"] == "bicubic"
        if name.startswith("trevsnn_"):
            side = cfg["input_size"][1] // 4 // prod(config.strides)
            assert model.default_cfg["pool_size"] == (side, side)


@pytest.mark.parametrize("prefix", ["trev_ms_resnet", pytest.param("ms_resnet", marks=NEEDS_SPIKINGJELLY)])
def test_shapes_of_ms_resnets(prefix):
    shapes = {
        "18": ((64, 128, 256, 512), (2, 2, 2, 2), 2, 4, False),
        "34": ((64, 128, 256, 512), (3, 4, 6, 3), 2, 4, False),
        "_digits": ((32, 64, 128, 192), (2, 2, 2, 2), 1, 4, False),
        "_dvs": ((32, 64, 128, 256), (2, 2, 2, 2), 2, 8, True),
    }
    for end, shape in shapes.items():
        with torch.device("meta"):
            config = create_model(prefix + end).config
        assert (config.channels, config.blocks, config.stem_stride, config.timesteps, config.frames) == shape
