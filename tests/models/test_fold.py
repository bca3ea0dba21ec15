import pytest
import torch
from timm.layers import ScaledStdConv2d
from tolerances import assert_close
from torch import nn


@pytest.mark.parametrize("size", [(16, 16), (17, 30), (30, 45), (33, 33), (32, 32), (64, 40)])
def test_the_folded_stem_is_the_stem_at_the_borders_too(build, size):
    model, x = build().double().eval(), torch.randn(2, 3, *size).double()
    assert_close(model.fold().stem(x), model.stem(x), "folded")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"timesteps": 3},
        {"timesteps": 1},
        {"input_encoding": "grouped"},
        {"depth": 3},
        {"aux_heads": False},
        {"fusion": False, "residual_scale": False, "learn_decay": False},
        {"two_stream": True, "threshold": 0.3},
    ],
    ids=str,
)
def test_folding_keeps_the_logits(build, images, options):
    model = build(**options).eval()
    assert_close(model.fold()(images), model(images), "folded")
    model, images = model.double(), images.double()
    assert_close(model.fold()(images), model(images), "folded")


def test_nothing_is_left_to_fold(build):
    folded = build().fold()
    assert not folded.training
    assert not any(isinstance(m, (ScaledStdConv2d, nn.BatchNorm2d)) for m in folded.modules())
    assert not any(getattr(m, "gamma", None) is not None for m in folded.modules())
    assert not len(folded.aux_heads)
    assert not folded.config.aux_heads
    tails = [row[0].blocks[1].tail for row in folded.grid.cells]
    assert len({id(tail.pointwise) for tail in tails}) == 1, "what subnetworks share stays shared"


def test_the_network_itself_is_unchanged(build, images):
    model = build()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.fold()
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_network_without_classifier_folds(build, images):
    model = build(num_classes=0).eval()
    assert_close(model.fold()(images), model(images), "folded")


def test_what_cannot_be_folded_is_refused(build):
    with pytest.raises(ValueError, match="folded already"):
        build().fold().fold()
    model = build()
    model.set_negative_slope(0.5)
    with pytest.raises(ValueError, match=r"slope 0\.5.*set_negative_slope\(1\.0\)"):
        model.fold()
