"""Steps of several batches and of several processes, which a run may be continued in."""

import shutil
from dataclasses import replace

import pytest
import torch
from runs import CONFIG, assert_same_weights, quiet_console
from safetensors.torch import load_file

from trevsnn.training import Learner, RunFolder, TrainConfig, dump_config, train
from trevsnn.training.batches import training_batches
from trevsnn.training.config import parse_config
from trevsnn.training.run_state import fitting_batch, with_same_steps


def as_if_by(run, processes, batch_size, effective_batch=None):
    """Make of a run one that several processes were training with other batches, stopped after its second epoch."""
    run.saved_states()[0].unlink()
    _, values = run.read_config()
    values |= {"batch_size": batch_size}
    values.pop("effective_batch", None)
    config = TrainConfig(**values, effective_batch=effective_batch)
    run.config.write_text(dump_config("digits", config))
    path, state = run.load_state()
    _, before = parse_config(state["config"], "state")
    before.pop("effective_batch", None)
    state["config"] = dump_config("digits", TrainConfig(**before | {"batch_size": batch_size}))
    torch.save(state | {"processes": processes}, path)
    return config


@pytest.fixture(scope="module")
def accumulated(tmp_path_factory, few_digits):
    """A run of steps of 24 images in batches of 8, as three processes would take it too."""
    run = RunFolder(tmp_path_factory.mktemp("runs") / "accumulated")
    config = replace(CONFIG, batch_size=8, effective_batch=24)
    train(config, few_digits, run, console=quiet_console())
    return run


def resumed_text(run, config, dataset):
    console = quiet_console(width=400)
    train(config, dataset, run, resume=True, console=console)
    return " ".join(console.file.getvalue().split())


def test_a_run_of_several_processes_is_continued_by_one(tmp_path, few_digits, accumulated):
    """Its batches are the same, so dropout, augmentation and BatchNorm are."""
    run = RunFolder(shutil.copytree(accumulated.path, tmp_path / "renamed"))
    text = resumed_text(run, as_if_by(run, processes=3, batch_size=8), few_digits)
    assert "note steps of 24 images as before, by 1 in place of 3 processes: the same but for rounding" in text
    assert_same_weights(run, load_file(accumulated.weights))
    assert "note" not in resumed_text(run, replace(CONFIG, batch_size=8), few_digits), "the second time it is as it was"


@pytest.mark.parametrize("batch_size", [12, 24, 16])
def test_a_run_is_continued_in_other_batches(tmp_path, few_digits, accumulated, batch_size):
    """16 does not go into 24, and the most that does is taken."""
    run = RunFolder(shutil.copytree(accumulated.path, tmp_path / "run"))
    config = replace(as_if_by(run, processes=3, batch_size=8), batch_size=batch_size, memory="stored", workers=1)
    text = resumed_text(run, config, few_digits)
    batch = min(batch_size, 24 if batch_size == 24 else 12)
    assert f"steps of 24 images as before, in batches of {batch} in place of 8: BatchNorm and dropout see other" in text
    assert len(run.read_metrics()) == 3
    assert run.load_state()[1]["learner"]["steps"] == 6


@pytest.mark.parametrize(
    ("wanted", "effective", "world", "batch"),
    [(3, 6, 1, 3), (6, 6, 2, 3), (3, 12, 2, 3), (64, 128, 1, 64), (64, 96, 1, 48), (6, 6, 4, None), (1, 6, 6, 1)],
)
def test_the_batch_with_which_processes_share_a_step(wanted, effective, world, batch):
    assert fitting_batch(wanted, effective, world) == batch


def test_too_many_processes_for_a_step(accumulated):
    saved = accumulated.load_state()
    with pytest.raises(
        ValueError, match=r"24 images, .* cannot be shared by 5 processes; start 1, 2, 3, 4, 6, 8, 12, 24 of"
    ):
        with_same_steps(replace(CONFIG, batch_size=8), saved, 5)


def test_steps_may_add_up_several_batches(tmp_path, few_digits, quiet):
    """Without batch statistics, the size of a batch does not matter but for rounding."""
    config = replace(CONFIG, epochs=1, drop_rate=0.0, drop_path_rate=0.0, batch_size=24, clip_grad=0.0, ema_decay=0.0)
    weights = []
    for size in (24, 6):
        learner = Learner(replace(config, batch_size=size, effective_batch=24), few_digits)
        for module in learner.model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.train = lambda mode: None
                module.training = False
        learner.model.double()
        batches = training_batches(learner, few_digits)
        learner.step([(b.images.double(), b.targets) for b in (next(batches) for _ in range(24 // size))])
        weights.append([p.detach() for p in learner.model.parameters()])
    for whole, parts in zip(*weights, strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-9, atol=1e-12)


def test_step_sizes_that_cannot_be(few_digits):
    for options, message in [
        ({"effective_batch": 40}, "effective_batch=40 must be a multiple of batch_size=16"),
        ({"batch_size": 49}, "batch_size=49 is more than the 48 training images"),
        ({"effective_batch": 64}, "effective_batch=64 is more than the 48 training images"),
    ]:
        with pytest.raises(ValueError, match=message):
            Learner(replace(CONFIG, **options), few_digits)
    with pytest.raises(ValueError, match=r"no images to train on; give --val-split 0\.1"):
        Learner(CONFIG, replace(few_digits, train=None))
    learner = Learner(replace(CONFIG, lr_base_size=8, warmup_epochs=0, lr=0.01), few_digits)
    assert learner.lr == pytest.approx(0.02)


def test_a_batch_too_small_for_batchnorm_leaves_nothing_behind(tmp_path, few_digits, quiet):
    config = replace(CONFIG, channels=(4,) * 5, batch_size=1)
    with pytest.raises(ValueError, match="batch_size=1 leaves BatchNorm a single value per channel; use 2 or more"):
        train(config, few_digits, RunFolder(tmp_path / "run"), console=quiet)
    assert not any(tmp_path.iterdir())
