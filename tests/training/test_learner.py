"""What is trained: its input, and its compiled form."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from runs import CONFIG
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from trevsnn.training import Learner
from trevsnn.training.batches import training_batches


def test_images_without_preprocessing_of_their_own_get_the_networks(few_digits):
    images = replace(few_digits, preprocessing=None)
    small = Learner(CONFIG, images).preprocessing
    assert (small.input_size, small.mean, small.std) == ((3, 32, 32), (0.5,) * 3, (0.5,) * 3)
    large = Learner(replace(CONFIG, model="trevsnn_tiny", image_size=None), images).preprocessing
    assert (large.input_size, large.mean, large.std) == (
        (3, 224, 224), IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD,
    )  # fmt: skip
    assert (large.crop_pct, large.interpolation) == (224 / 232, "bicubic")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # the compiler looks at it
def test_compiled_training_is_close_to_plain(few_digits, monkeypatch):
    """The compiler's own tracing, without its code generation, which needs a C++ compiler."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    losses = []
    for compiled in (False, True):
        config = replace(CONFIG, compile=compiled, drop_rate=0.0, drop_path_rate=0.0)
        learner = Learner(config, few_digits)
        batches = training_batches(learner, few_digits)
        losses.append([learner.step([next(batches)[:2]]) for _ in range(2)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_a_machine_that_cannot_compile_is_told_so(few_digits, monkeypatch):
    def backend(graph, inputs):
        raise OSError("no compiler\nfound")

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    learner = Learner(replace(CONFIG, compile=True), few_digits)
    with pytest.raises(ValueError, match=r"compile=True does not work here: .*no compiler.*; leave it out"):
        learner.step([next(training_batches(learner, few_digits))[:2]])
