import pytest
import torch

from trevsnn.models import count_macs, create_model, list_models, load_weights, parameter_counts, save_weights
from trevsnn.models.baselines import BASELINES, presets, spikingjelly_is_installed

pytestmark = pytest.mark.skipif(not spikingjelly_is_installed(), reason="SpikingJelly is not installed")

SMALL = {"ms_resnet_digits": {"channels": (4, 6, 8, 8)}, "sdt_digits": {"embed_dims": 16, "depth": 1}}


def build(name, **options):
    torch.manual_seed(0)
    return create_model(name, **{**SMALL.get(name, {}), **options})


@pytest.mark.parametrize(
    ("name", "published"), [("ms_resnet34", 21.8e6), ("sdt_8_512", 29.7e6), ("sew_resnet34", 21.8e6)]
)
def test_parameter_counts_are_the_published_ones(name, published):
    with torch.device("meta"):
        assert parameter_counts(create_model(name))["deployed"] == pytest.approx(published, rel=0.01)


def test_baseline_for_digits_is_of_the_size_of_the_network_that_it_is_compared_with():
    sizes = [parameter_counts(create_model(name))["deployed"] for name in ("ms_resnet_digits", "trevsnn_digits")]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.05)


@pytest.mark.parametrize("name", SMALL)
def test_nothing_is_left_from_one_input_to_the_next(name):
    model = build(name).train()
    first, second = torch.randn(2, 2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        model(first)
        alone = model(second)
        assert torch.equal(alone, model(second))
    model(first).sum().backward()
    model(first).sum().backward()  # through the states of the pass before, this would fail


@pytest.mark.parametrize("name", SMALL)
def test_an_image_is_a_clip_of_equal_frames(name):
    images, clips = build(name, timesteps=3).eval(), build(name, timesteps=3, frames=True).eval()
    x = torch.randn(2, 1, 32, 32)
    assert torch.equal(images(x), clips(x.expand(3, *x.shape)))


def test_time_steps_matter():
    x = torch.randn(2, 1, 32, 32)
    assert not torch.equal(build("ms_resnet_digits")(x), build("ms_resnet_digits", timesteps=1)(x))


def test_inputs_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="has 3 channels, in_chans=1"):
        build("ms_resnet_digits")(torch.zeros(1, 3, 32, 32))
    with pytest.raises(ValueError, match="has 4 frames, timesteps=8"):
        build("ms_resnet_dvs", channels=(4, 4, 4, 4))(torch.zeros(4, 1, 2, 32, 32))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ms_resnet_digits", {"num_classes": 0}, "num_classes=0 must be an integer of at least 1"),
        (
            "ms_resnet_digits",
            {"channels": (4, 4), "blocks": (1, 1)},
            r"channels=\(4, 4\) must be three or four numbers",
        ),
        ("ms_resnet_digits", {"blocks": (1, 1, 1)}, r"blocks=\(1, 1, 1\) must be 4 numbers, as channels has"),
        ("ms_resnet_digits", {"stem_stride": 0}, "stem_stride=0 must be an integer of at least 1"),
        ("ms_resnet_digits", {"depth": 8}, "'depth' is not an option of ms_resnet_digits"),
        ("sdt_digits", {"embed_dims": 12}, "embed_dims=12 must be a multiple of 8"),
        ("sew_resnet34", {"channels": (4, 4, 4, 4)}, "'channels' is not an option of sew_resnet34"),
    ],
)
def test_bad_options_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        create_model(name, **options)


@pytest.mark.parametrize(("name", "change"), [("ms_resnet_digits", "blocks"), ("sdt_digits", "depth")])
def test_options_shape_the_network(name, change):
    other = {"blocks": (1, 1, 2, 1), "depth": 3}[change]
    assert count_macs(build(name), (1, 32, 32)) != count_macs(build(name, **{change: other}), (1, 32, 32))


def test_stem_stride_is_the_networks_down_sampling():
    fine, coarse = (count_macs(build("ms_resnet_digits", stem_stride=s), (1, 32, 32)) for s in (1, 2))
    assert fine > 2 * coarse


def test_another_number_of_input_channels_is_possible():
    assert build("sew_resnet34", in_chans=1, num_classes=4, timesteps=2)(torch.randn(2, 1, 32, 32)).shape == (2, 4)


@pytest.mark.parametrize("name", SMALL)
def test_weights_are_saved_with_what_rebuilds_the_network(name, tmp_path):
    model = build(name, num_classes=3, timesteps=2).eval()
    save_weights(model, tmp_path / "w.safetensors", model.described())
    loaded, info = load_weights(tmp_path / "w.safetensors")
    x = torch.randn(2, 1, 32, 32)
    assert info.model == name
    assert torch.equal(loaded(x), model(x))
    other = create_model(name, checkpoint=tmp_path / "w.safetensors", num_classes=5).eval()
    assert other(x).shape == (2, 5)
    assert torch.equal(next(other.parameters()), next(model.parameters()))


def test_without_spikingjelly_the_names_say_what_to_install(monkeypatch):
    monkeypatch.setattr("trevsnn.models.base.find_spec", lambda name: None)
    assert not set(BASELINES) & set(list_models())
    with pytest.raises(ValueError, match=r"pip install 'trevsnn\[baselines\]'"):
        create_model("ms_resnet34")


def test_every_baseline_has_a_family_and_a_preset():
    assert set(presets.__all__) == set(BASELINES)
