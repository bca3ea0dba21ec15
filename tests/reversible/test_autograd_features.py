"""What users do with autograd works on a grid as on any module."""

import math
import pickle
from copy import deepcopy
from typing import get_args

import pytest
import torch
from helpers import (
    WIDTH,
    ConvCell,
    LinearCell,
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
from torch import nn
from torch.func import functional_call

from trevsnn import create_model
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


@every_setting
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("cell", ["linear", "conv"])
@pytest.mark.parametrize("timesteps", [1, 4])
def test_a_sample_that_is_not_finite_comes_out_as_nan_and_the_others_unharmed(timesteps, cell, value, memory):
    grid = make_grid(cell, timesteps, decay="mixed", memory=memory)
    frames = [make_input(cell, batch=4, seed=t) for t in range(timesteps)]
    (clean,) = grid(frames)
    frames[0][2].view(-1)[1] = value  # only the first step sees it
    for context in (torch.enable_grad, torch.no_grad):
        with context():
            (output,) = grid(frames)
        assert output[2].isnan().all()
        assert torch.equal(output[[0, 1, 3]], clean[[0, 1, 3]])


def linear_rows(*lengths):
    return [[LinearCell(5 if i else 3, 0) for i in range(n)] for n in lengths]


@pytest.mark.parametrize("lengths", [(), (0,), (2, 1), (1, 2, 2), (2, 0)])
def test_an_empty_or_ragged_grid_is_refused(lengths):
    with pytest.raises(
        ValueError, match=rf"cells must be .* the same number .* got \[{', '.join(map(str, lengths))}\]"
    ):
        ReversibleGrid(linear_rows(*lengths), [0.5, 0.5])


@pytest.mark.parametrize(
    "decays", [[], [0.5], [0.5] * 3, [[0.5] * 2] * 2, [[0.5] * 2] * 4, [[0.5] * 3] * 3, [[0.5] * 2, [0.5], [0.5] * 2]]
)
def test_decays_that_do_not_fit_the_cells_are_refused(decays):
    with pytest.raises(ValueError, match="decays must be 2 values, or 3 rows of 2"):
        ReversibleGrid(linear_rows(2, 2, 2), decays)


@pytest.mark.parametrize(
    ("decays", "message"),
    [
        ([0.5, [0.5]], "decays must be 2 values"),
        ([[0.5, 0.5], 0.5, [0.5, 0.5]], "decays must be 2 values"),
        ([0.5, None], "not NoneType"),
        ([[0.5, None]] * 3, "not NoneType"),
        ([0.5, "fast"], "decays must be 2 values"),
        ([nn.Parameter(torch.ones(5, 1)), 0.5], r"shape \(5, 1\) must have shape \(C,\) or \(\)"),
    ],
    ids=str,
)
def test_a_decay_that_is_none_is_refused(decays, message):
    with pytest.raises(ValueError, match=message):
        ReversibleGrid(linear_rows(2, 2, 2), decays)


@every_setting
def test_a_decay_of_another_width_than_its_cell_is_refused(memory):
    grid = ReversibleGrid(linear_rows(1, 1), [nn.Parameter(torch.ones(4))], memory=memory)
    with pytest.raises(ValueError, match=r"a decay of 4 channels does not fit its cell, which returns \(3, 5\)"):
        grid(make_input())


@pytest.mark.parametrize("memory", ["", "Stored", "checkpoint", None])
def test_an_unknown_memory_setting_is_refused_with_the_choices(memory):
    match = rf"memory={memory!r} is unknown; choose from reversible, packed, stored"
    with pytest.raises(ValueError, match=match):
        ReversibleGrid(linear_rows(1), [0.5], memory=memory)
    grid = ReversibleGrid(linear_rows(1), [0.5])
    with pytest.raises(ValueError, match=match):
        grid.set_memory(memory)
    assert grid.memory == "reversible"


@every_setting
@pytest.mark.parametrize("count", [0, 2, 4])
def test_a_wrong_number_of_inputs_is_refused(count, memory):
    with pytest.raises(ValueError, match=f"inputs holds {count} tensors, but the grid has 3 timesteps"):
        make_grid("linear", 3, memory=memory)([make_input()] * count)


def test_the_grid_says_what_it_is():
    grid = make_grid("linear", 3, 2, memory="stored")
    assert (grid.timesteps, grid.levels) == (3, 2)
    assert "timesteps=3, levels=2, memory='stored'" in repr(grid)


def test_any_modules_serve_as_cells():
    class Wide(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = ConvCell(3, 0)

        def forward(self, below, above=None):
            return self.cell(below).repeat(1, 2, 1, 1)

    class OneDimensional(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(2 * WIDTH, 4, 3)

        def forward(self, below, above=None):
            return self.conv(below.flatten(2))

    decays = [nn.Parameter(torch.full((n,), 0.6)) for n in (2 * WIDTH, 4)]
    assert_memory_settings_agree(
        ReversibleGrid([[Wide(), OneDimensional()] for _ in range(3)], decays), make_input("conv")
    )


# The same on a whole network.


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
