"""What users do with autograd works on a network as on any module."""

import pickle
from copy import deepcopy

import pytest
import torch
from helpers import (
    assert_same_gradients,
    everything,
    make_grid,
    make_input,
    train_step,
    weighted_sum,
)
from torch.func import functional_call

from trevsnn import create_model

per_step = pytest.mark.parametrize("per_step", [False, True], ids=["shared_decay", "decay_per_step"])


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = create_model("trevsnn_digits", channels=(8, 8, 12, 12), timesteps=3)
    model.set_intermediate_supervision()
    return model


@pytest.fixture
def images():
    torch.manual_seed(1)
    return torch.randn(3, 1, 32, 32)


def loss_of(model, images):
    return sum(logits.square().sum() for logits in model(images))


def test_two_backward_passes_over_one_graph_add_up(model, images):
    loss = loss_of(model, images)
    loss.backward(retain_graph=True)
    once = {name: p.grad.clone() for name, p in model.named_parameters()}
    loss.backward()
    assert all(torch.equal(p.grad, once[name] + once[name]) for name, p in model.named_parameters())


def test_copies_and_pickles_compute_the_same(model, images):
    model.eval()
    for twin in (deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin(images), model(images))


def test_no_graph_is_built_without_gradients(model, images):
    model.eval()
    expected = model(images).detach()
    with torch.no_grad():
        assert torch.equal(model(images), expected)
    with torch.inference_mode():
        assert torch.equal(model(images), expected)


def test_a_parameter_changed_before_backward_is_refused(model, images):
    loss = loss_of(model, images)
    with torch.no_grad():
        model.grid.cells[1][1].blocks[0].gamma.add_(1)
    with pytest.raises(RuntimeError, match="modified in place"):
        loss.backward()


def test_nan_in_one_image_marks_that_image_alone(model, images):
    model.eval()
    images[1] = float("nan")
    logits = model(images)
    assert logits.isnan().all(dim=1).tolist() == [False, True, False]


@per_step
def test_functional_call_with_other_parameters_has_their_gradients(per_step):
    results = []
    for memory in ("stored", "reversible"):
        grid = deepcopy(make_grid("linear", 3, per_step=per_step, memory=memory))
        other = {name: (p.detach() * 1.7).requires_grad_() for name, p in grid.named_parameters()}
        weighted_sum(functional_call(grid, other, (make_input(), everything))).backward()
        results.append({name: p.grad for name, p in other.items()})
    assert_same_gradients(results[1], results[0])


@per_step
def test_cells_after_the_last_used_readout_have_no_gradient_at_all(per_step):
    grid = make_grid("linear", 4, per_step=per_step)
    stored, reversible = (train_step(grid, make_input(), m, used=slice(1)).gradients for m in ("stored", "reversible"))
    cells = [name for name in stored if name.startswith("cells")]
    assert [n for n in cells if stored[n] is None] == [n for n in cells if reversible[n] is None]


@per_step
def test_a_second_derivative_through_a_learned_decay_is_refused(per_step):
    grid, x = make_grid("linear", 4, per_step=per_step), make_input().requires_grad_()
    (grad,) = torch.autograd.grad(weighted_sum([o.square() for o in grid(x, everything)]), x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        grad.square().sum().backward()
