"""Losses, gradients and scales that are not finite."""

from dataclasses import replace

import pytest
import torch
from runs import CONFIG, accuracy_of, poison_batch

from trevsnn.models import load_weights
from trevsnn.training import Learner, NonFiniteError, RunFolder, train
from trevsnn.training import loop as loop_module


def test_divergence_in_the_last_step_of_an_epoch(tmp_path, few_digits, quiet):
    """No later loss shows that the weights are useless: the evaluation does."""
    run = RunFolder(tmp_path / "run")
    config = replace(CONFIG, batch_size=48, warmup_epochs=0, lr=1e30, clip_grad=0.0, ema_decay=0.0)
    with pytest.raises(NonFiniteError, match=r"epoch 1, step 1: the test loss .* keeps its first, untrained weights"):
        train(config, few_digits, run, console=quiet)
    model, _ = load_weights(run.weights)
    assert all(value.isfinite().all() for value in model.state_dict().values())


def test_divergence_keeps_the_last_epoch(tmp_path, few_digits, quiet, monkeypatch):
    poison_batch(monkeypatch, 6)
    run = RunFolder(tmp_path / "run")
    with pytest.raises(NonFiniteError, match=r"epoch 2, step 3: the loss is nan; .*run keeps the weights of epoch 1"):
        train(CONFIG, few_digits, run, console=quiet)
    assert accuracy_of(run.weights, few_digits) == run.read_metrics()[-1]["test_accuracy"]
    assert len(run.read_metrics()) == 1


def test_infinite_gradient_stops_before_the_weights_change(few_digits):
    learner = Learner(CONFIG, few_digits)
    learner.model.head.linear1.bias.register_hook(lambda grad: grad * float("inf"))
    before = {name: value.clone() for name, value in learner.model.named_parameters()}
    with pytest.raises(NonFiniteError, match="gradient"):
        learner.step([next(loop_module.training_batches(learner, few_digits))[:2]])
    assert all(torch.equal(value, before[name]) for name, value in learner.model.named_parameters())


def test_a_scale_that_overflows_is_lowered_and_the_step_left_out(few_digits):
    learner = Learner(replace(CONFIG, precision="fp16"), few_digits)
    batch = next(loop_module.training_batches(learner, few_digits))[:2]
    learner.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**120)
    before = [p.clone() for p in learner.model.parameters()]
    learner.step([batch])
    assert learner.scaler.get_scale() < 2.0**120
    assert all(torch.equal(p, q) for p, q in zip(before, learner.model.parameters(), strict=True))
    learner.scaler.update(0.5)
    with pytest.raises(NonFiniteError, match="nan"):
        learner.step([(batch[0] * float("nan"), batch[1])])
