import pytest
import torch
from tolerances import assert_close
from torch import nn

from trevsnn.deployment.module import PlanModule
from trevsnn.deployment.plan import plan_network
from trevsnn.models.folding import fold

NETWORKS = [
    ({}, (32, 32)),
    ({"timesteps": 1}, (32, 32)),
    ({"timesteps": 3, "depth": 4}, (45, 54)),
    ({"channels": (8, 12)}, (17, 30)),
    ({"channels": (6,), "timesteps": 2}, (32, 32)),
    ({"input_encoding": "grouped"}, (30, 45)),
    ({"num_classes": 0}, (32, 32)),
    ({"fusion": False}, (32, 32)),
    ({"residual_scale": False, "learn_decay": False}, (32, 32)),
    ({"two_stream": True, "depth": 7, "timesteps": 3}, (45, 54)),
    ({"name": "trevsnn_dvs", "timesteps": 3}, (32, 33)),
    ({"name": "trevsnn_dvs", "timesteps": 1}, (32, 32)),
    ({"name": "trevsnn_dvs", "timesteps": 2, "stem_sharing": False}, (32, 32)),
]


@pytest.mark.parametrize(("options", "size"), NETWORKS, ids=str)
@pytest.mark.parametrize("merge_stem", [True, False])
def test_the_plan_is_the_folded_network(build, inputs, options, size, merge_stem):
    model = build(**options)
    folded, x = fold(model, merge_stem=merge_stem), inputs(model, size=size)
    plan = plan_network(folded, *size)
    levels, steps = len(model.config.channels), model.config.timesteps
    assert len(plan.key_spikes) == levels * steps
    logits, *spikes = PlanModule(plan, tuple(plan.key_spikes))(x)
    assert all(0.05 < s.mean() < 0.95 for s in spikes), "a network that is silent tests little"
    assert [tuple(s.shape[1:]) for s in spikes] == [plan[name].shape for name in plan.key_spikes]
    with torch.no_grad():
        # grouped encoding makes each group of the stem's channels by itself, which sums in another order
        assert_close(logits, folded(x), "orders" if options.get("input_encoding") == "grouped" else "order")


def test_what_subnetworks_share_is_named_once(build, planned):
    operations = {o.name: o for o in planned(build()).operations}
    first, second = (operations[f"step{t}_level1_block1_pw2"] for t in (0, 1))
    assert first.parameters == second.parameters
    own = {operations[f"step{t}_level1_block0_pw2"].parameters for t in range(4)}
    assert len(own) == 4


def test_a_cell_of_another_kind_is_named(build):
    class MyCell(nn.Module):
        pass

    folded = build().fold()
    folded.grid.cells[2][1] = MyCell()
    with pytest.raises(ValueError, match="the cell of step 2, level 1 is a MyCell, which cannot be exported"):
        plan_network(folded, 32, 32)


def test_what_cannot_be_planned_is_refused(build):
    with pytest.raises(ValueError, match=r"export the network that fold\(\) returns"):
        plan_network(build(), 32, 32)
    with pytest.raises(ValueError, match="8 x 8 pixels is too small"):
        plan_network(build().fold(), 8, 8)


@pytest.mark.parametrize(
    ("options", "size"),
    [({"timesteps": 2}, (45, 54)), ({"name": "trevsnn_dvs", "timesteps": 2, "two_stream": True}, (32, 33))],
    ids=str,
)
def test_every_operation_has_the_shape_that_it_says(build, inputs, options, size):
    model, shapes = build(**options), {}
    plan = plan_network(model.fold(), *size)
    PlanModule(plan).run(inputs(model, size=size), lambda name, values: shapes.update({name: tuple(values.shape[1:])}))
    assert shapes == {operation.name: operation.shape for operation in plan.operations}


def test_a_convolution_without_bias_is_planned(build, inputs):
    model = build()
    folded, x = model.fold(), inputs(model)
    folded.head[0].bias = None
    with torch.no_grad():
        torch.testing.assert_close(PlanModule(plan_network(folded, 32, 32))(x), folded(x))
