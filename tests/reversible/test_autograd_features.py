"""What users do with autograd works on a grid as on any module."""

import pickle
from copy import deepcopy
from typing import get_args

import pytest
import torch
from helpers import (
    WIDTH,
    assert_memory_settings_agree,
    assert_same_gradients,
    clone,
    everything,
    gradients,
    make_grid,
    make_input,
    train_step,
    weighted_sum,
)
from tolerances import TOLERANCES

from trevsnn.reversible import Memory, ReversibleGrid

per_step = pytest.mark.parametrize("per_step", [False, True], ids=["shared_decay", "decay_per_step"])
every_setting = pytest.mark.parametrize("memory", get_args(Memory))


@per_step
@pytest.mark.parametrize(
    "used", [slice(1), slice(2), slice(2, 3), slice(-1, None), slice(None, None, 3), slice(None)], ids=str
)
@pytest.mark.parametrize("cell", ["linear", "dropout"])
def test_the_loss_may_use_any_of_the_readouts(cell, used, per_step):
    grid = make_grid(cell, 6, 3, "mixed", per_step)
    assert_memory_settings_agree(grid, make_input(cell), used=used)


@per_step
def test_a_readout_of_early_steps_alone_has_the_gradients_of_a_shorter_grid(per_step):
    grid = make_grid("linear", 6, 2, 0.7, per_step)
    short = ReversibleGrid([list(row) for row in list(grid.cells)[:3]], [list(row) for row in list(grid.decays)[:3]])
    early = train_step(
        grid, make_input(), "reversible", readout=lambda state: everything(state) if state.t == 2 else None
    )
    expected = train_step(short, make_input(), "stored", used=slice(-1, None)).gradients
    assert_same_gradients({name: early.gradients[name] for name in expected}, expected)
    later = [grad for name, grad in early.gradients.items() if name not in expected]
    assert all(grad is None or not grad.any() for grad in later)


@per_step
def test_two_backward_passes_over_one_graph_give_exactly_twice_the_gradient(per_step):
    grid, x = make_grid("dropout", 5, 3, "mixed", per_step), make_input("dropout").requires_grad_()
    loss = weighted_sum(grid(x, everything))
    loss.backward(retain_graph=True)
    once = gradients(grid, [x])
    loss.backward()
    for name, grad in gradients(grid, [x]).items():
        if once[name] is not None:
            assert torch.equal(grad, 2 * once[name]), name


@per_step
def test_losses_of_one_graph_may_run_backward_one_after_another(per_step):
    results = []
    for memory in ("stored", "reversible"):
        grid, x = make_grid("linear", 5, per_step=per_step, memory=memory), make_input().requires_grad_()
        outputs = grid(x, everything)
        for i in (4, 1, 2):
            weighted_sum(outputs[i : i + 1]).backward(retain_graph=True)
        results.append(gradients(grid, [x]))
    assert_same_gradients(results[1], results[0])


@per_step
def test_gradients_of_chosen_tensors_alone(per_step):
    grid, x = make_grid("linear", 5, decay=0.8, per_step=per_step), make_input().requires_grad_()
    names = [name for name, _ in grid.named_parameters()]
    full = train_step(grid, x.detach(), "stored").gradients
    for chosen in (names[:1], names[-1:], [n for n in names if n.startswith("decays")], ["cells.2.1.down.bias"]):
        outputs = grid(x, everything)
        grads = torch.autograd.grad(weighted_sum(outputs), [grid.get_parameter(name) for name in chosen])
        assert_same_gradients(dict(zip(chosen, grads, strict=True)), {name: full[name] for name in chosen})
    (grad,) = torch.autograd.grad(weighted_sum(grid(x, everything)), x)
    assert torch.equal(grad, full["input.0"])


@per_step
def test_gradients_accumulate_over_batches(per_step):
    grids = [make_grid("batchnorm", 4, per_step=per_step, memory=memory) for memory in ("stored", "reversible")]
    for grid in grids:
        for seed in range(2):
            weighted_sum(grid(make_input("batchnorm", seed=seed), everything)).backward()
    assert_same_gradients(gradients(grids[1]), gradients(grids[0]))
    last = make_grid("batchnorm", 4, per_step=per_step)
    weighted_sum(last(make_input("batchnorm", seed=1), everything)).backward()
    assert not torch.equal(last.cells[0][0].down.weight.grad, grids[1].cells[0][0].down.weight.grad)


@per_step
@pytest.mark.parametrize(
    "frozen",
    [
        "cells.",
        "decays.",
        "cells.1.",
        "cells.0.0.",
        "decays.2.",
        "decays.1.1",
        "decays.0.",
        "cells.3",
        "cells.2.1.down",
    ],
)
def test_frozen_parameters_get_no_gradient_and_the_others_theirs(frozen, per_step):
    grid = make_grid("linear", 4, 2, 0.7, per_step)
    for name, p in grid.named_parameters():
        p.requires_grad_(not name.startswith(frozen))
    assert_memory_settings_agree(grid, make_input())
    step = train_step(grid, make_input(), "reversible").gradients
    assert all((step[name] is not None) == p.requires_grad for name, p in grid.named_parameters())


@every_setting
def test_a_wholly_frozen_grid_still_passes_the_gradient_to_its_input(memory):
    grid, x = make_grid("linear", 3, memory=memory).requires_grad_(False), make_input().requires_grad_()
    weighted_sum(grid(x, everything)).backward()
    assert torch.equal(x.grad, train_step(make_grid("linear", 3), make_input(), "stored").gradients["input.0"])


@every_setting
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_outputs_without_gradient_are_the_same_and_keep_no_graph(context, memory):
    grid, x = make_grid("batchnorm", 3, memory=memory), make_input("batchnorm")
    expected = clone(grid, "stored")(x, everything)
    with context():
        outputs = grid(x, everything)
    assert all(torch.equal(a, b) for a, b in zip(outputs, expected, strict=True))
    assert not any(output.requires_grad for output in outputs)
    assert grid.cells[0][0].norm.num_batches_tracked == 1


def test_nothing_is_kept_when_nothing_needs_a_gradient():
    grid = make_grid("linear", 3).requires_grad_(False)
    (output,) = grid(make_input())
    assert not output.requires_grad


@per_step
def test_a_deep_copy_is_independent_and_gives_the_same_gradients(per_step):
    grid = make_grid("linear", 3, reuse_cells=True, per_step=per_step)
    weighted_sum(grid(make_input(), everything)).backward()  # a grid that has been used
    copy = deepcopy(grid)
    assert not {id(p) for p in grid.parameters()} & {id(p) for p in copy.parameters()}
    assert copy.cells[0][0] is copy.cells[2][0]
    assert (copy.decays[0][0] is copy.decays[2][0]) == (not per_step)
    copy.zero_grad()
    weighted_sum(copy(make_input(), everything)).backward()
    assert_same_gradients(gradients(copy), gradients(grid))


@per_step
@every_setting
def test_a_pickled_grid_is_the_same_grid(memory, per_step):
    grid = make_grid("linear", 3, decay="mixed", reuse_cells=True, per_step=per_step, memory=memory)
    copy = pickle.loads(pickle.dumps(grid))
    assert copy.memory == memory
    weighted_sum(copy(make_input(), everything)).backward()
    weighted_sum(grid(make_input(), everything)).backward()
    assert all(torch.equal(g, gradients(copy)[name]) for name, g in gradients(grid).items() if g is not None)


@per_step
@pytest.mark.parametrize("reuse_cells", [False, True])
def test_hooks_on_parameters_fire_once_with_the_whole_gradient(reuse_cells, per_step):
    grid = make_grid("linear", 4, reuse_cells=reuse_cells, per_step=per_step)
    seen, complete = {}, []
    for name, p in grid.named_parameters():
        p.register_hook(lambda grad, name=name: seen.setdefault(name, []).append(grad.clone()))
        p.register_post_accumulate_grad_hook(lambda p: complete.append(p))
    weighted_sum(grid(make_input(), everything)).backward()
    assert seen.keys() == dict(grid.named_parameters()).keys()
    assert all(len(grads) == 1 for grads in seen.values())
    assert_same_gradients({name: grads[0] for name, grads in seen.items()}, gradients(grid))
    assert len({id(p) for p in complete}) == len(complete) == len(seen)


def autocast_gradients(grid, memory, order, parts=1):
    """Outputs and gradients in bfloat16, of the samples in some order and in so many parts."""
    grid = clone(grid, memory)
    x = make_input("conv", batch=8, size=(8, 8))
    weights = torch.randn(8, 4 * WIDTH, generator=torch.Generator().manual_seed(1))
    outputs = []
    for part in order.chunk(parts):
        with torch.autocast("cpu", torch.bfloat16):
            out = grid(x[part], everything)
        sum((o.float() * weights[part]).sum() for o in out).backward()
        outputs.append(out)
    return outputs, gradients(grid)


@per_step
def test_under_bfloat16_autocast_the_settings_differ_less_than_two_orders_of_summation(per_step):
    grid, order = make_grid("conv", 4, 2, 0.5, per_step), torch.arange(8)
    stored_outputs, stored = autocast_gradients(grid, "stored", order)
    outputs, reversible = autocast_gradients(grid, "reversible", order)
    others = [
        autocast_gradients(grid, "stored", order.flip(0))[1],
        autocast_gradients(grid, "stored", order, parts=2)[1],
    ]
    assert all(torch.equal(a, b) for a, b in zip(outputs[0], stored_outputs[0], strict=True))
    for kind in ("cells", "decays"):
        names = [name for name, grad in stored.items() if name.startswith(kind) and grad is not None]
        expected = torch.cat([stored[name].flatten() for name in names])
        distances = [
            (torch.cat([other[name].flatten() for name in names]) - expected).norm() for other in (reversible, *others)
        ]
        rounding = TOLERANCES["decay"][torch.float32] * expected.norm() if kind == "decays" else 0
        assert max(distances[1:]) > 0
        assert distances[0] <= max(*distances[1:], rounding)


def test_membrane_potentials_stay_in_float32_under_autocast():
    grid, seen = make_grid("conv", 3), []
    with torch.autocast("cpu", torch.bfloat16):
        grid(make_input("conv"), lambda state: seen.extend(h.dtype for h in state.membranes))
    assert set(seen) == {torch.float32}
