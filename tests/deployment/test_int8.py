import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch.nn.functional import conv2d

from trevsnn.deployment import export_onnx
from trevsnn.deployment.int8 import observe
from trevsnn.deployment.module import PlanModule
from trevsnn.deployment.operations import Convolve, Spikes

NETWORKS = [{}, {"name": "trevsnn_dvs", "timesteps": 2, "threshold": 0.3}]


@pytest.fixture(scope="module", params=NETWORKS, ids=["images", "clips"])
def exported(request, build, inputs, planned, session, tmp_path_factory):
    """(plan, input, the graph, its operations' results by name, the graph as ONNX Runtime runs it)."""
    folder, model = tmp_path_factory.mktemp("int8"), build(**request.param)
    plan, x = planned(model), inputs(model, 4)
    names = [o.name for o in plan.operations if isinstance(o, (Convolve, Spikes)) and not o.name.endswith("_pw1")]
    export_onnx(model, folder / "x.onnx", (32, 32), calibration=[x], also=names)
    values = session(folder / "x.onnx", folder / "optimised.onnx").run(None, {"input": x.numpy()})
    graphs = [onnx.load(folder / name).graph for name in ("x.onnx", "optimised.onnx")]
    return plan, x, graphs[0], dict(zip(["logits", *names], values, strict=True)), graphs[1]


def constants(graph):
    return {t.name: numpy_helper.to_array(t).copy() for t in graph.initializer}


def test_spikes_are_0_or_1(exported):
    plan, _, _, values, _ = exported
    spikes = [o.name for o in plan.operations if isinstance(o, Spikes)]
    assert all(set(np.unique(values[name])) == {0.0, 1.0} for name in spikes)


def test_a_wide_neuron_spikes_where_the_integers_say_so(exported):
    plan, _, graph, values, _ = exported
    stored = constants(graph)
    for operation in plan.operations:
        if not operation.name.endswith("_wide_spikes"):
            continue
        conv = plan[operation.input]
        unit, weight = stored[f"{conv.name}_bias_scale"], stored[f"{conv.parameters}_weight_int8"]
        source, zero = (stored[f"{conv.input}_{part}"] for part in ("scale", "zero"))
        integers = torch.from_numpy(np.rint(values[conv.input] / source)).double()
        sums = conv2d(integers, torch.from_numpy(weight).double()).numpy()
        sums += stored[f"{conv.name}_bias_int32"].reshape(-1, 1, 1)
        assert zero.dtype == np.uint8
        np.testing.assert_array_equal(values[operation.name], sums > 0)
        # and the integers stand for the convolution: potential - threshold, rounded up to less than two units
        potential = sums * unit.reshape(-1, 1, 1) + operation.neuron.threshold
        real = conv2d(
            torch.from_numpy(values[conv.input]),
            torch.from_numpy(weight * stored[f"{conv.parameters}_weight_scale"].reshape(-1, 1, 1, 1)),
            torch.from_numpy(conv.bias),
        ).numpy()
        excess = (potential - real) / unit.reshape(-1, 1, 1)
        assert excess.min() > 0.4
        assert excess.max() < 1.6


def test_bits_of_weights(exported):
    plan, _, graph, _, _ = exported
    stored, seen = constants(graph), set()
    for operation in plan.operations:
        if isinstance(operation, Convolve) and f"{operation.parameters}_weight_int8" in stored:
            weight = stored[f"{operation.parameters}_weight_int8"].astype(int)
            scale = stored[f"{operation.parameters}_weight_scale"].reshape(-1, 1, 1, 1)
            full_range = operation.name.endswith(("_pw1", "_pw2"))
            np.testing.assert_array_equal(np.abs(weight).max((1, 2, 3)), 63 if full_range else 127)
            assert np.abs(weight * scale - operation.weight).max() <= scale.max() * 0.501
            seen.add(operation.name.rpartition("_")[2])
    assert seen == {"dw1", "pw1", "pw2", "dw2", "down", "up"}


def test_onnx_runtime_computes_in_integers(exported):
    plan, _, _, _, optimised = exported
    kinds = [node.op_type for node in optimised.node]
    names = [o.name for o in plan.operations if isinstance(o, Convolve)]
    floats = [name for name in names if "stem" in name or name == "head"]
    assert kinds.count("QLinearConv") == len(names) - len(floats)
    assert kinds.count("Conv") + kinds.count("FusedConv") == len(floats)


def test_a_bias_over_weights_of_almost_nothing_does_not_overflow(build, inputs, planned, session, tmp_path):
    model = build(timesteps=1)
    block = model.grid.cells[0][0].blocks[0]
    with torch.no_grad():
        block.pointwise.gain[:3] = torch.tensor([0.0, 1e-12, 1e-6]).reshape(3, 1, 1, 1)
        block.pointwise.bias[:3] = torch.tensor([0.6, 0.6, 0.4])
    x, name = inputs(model), "step0_level0_block0_wide_spikes"
    export_onnx(model, tmp_path / "x.onnx", (32, 32), calibration=[x], also=[name])
    _, spikes = session(tmp_path / "x.onnx").run(None, {"input": x.numpy()})
    np.testing.assert_array_equal(spikes[:, :3].mean((0, 2, 3)), [1, 1, 0])


def test_values_stay_near(exported, build, inputs):
    plan, x, _, values, _ = exported
    name = "step0_level0_block0_dw1"
    _, expected = PlanModule(plan, (name,))(x)
    low, high = observe(plan, [x])[name]
    assert np.abs(values[name] - expected.numpy()).max() < 0.03 * (high - low)


def test_ranges_grow_with_batches(build, inputs, planned):
    model = build()
    plan, x = planned(model), inputs(model, 4)
    together, apart = observe(plan, [x]), observe(plan, list(x.split(1)))
    assert together.keys() == apart.keys() == {o.name for o in plan.operations if isinstance(o, Convolve)}
    for name, bounds in together.items():
        assert bounds == pytest.approx(apart[name], abs=1e-5)
        assert bounds[0] <= 0 <= bounds[1]


def test_calibration_without_images(build, tmp_path):
    with pytest.raises(ValueError, match="no input"):
        export_onnx(build(), tmp_path / "x.onnx", (32, 32), calibration=[])
    with pytest.raises(ValueError, match=r"spike_op='hard-sigmoid' is for float32"):
        export_onnx(build(), tmp_path / "x.onnx", (32, 32), calibration=[], spike_op="hard-sigmoid")
    assert not any(tmp_path.iterdir())


def test_scales_belong_to_the_output_channels(exported):
    """ONNX Runtime takes the axis of a convolution's weight for granted; other runtimes read it."""
    _, _, graph, _, _ = exported
    stored, channels = constants(graph), 0
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and stored[node.input[1]].ndim:
            assert {a.name: a.i for a in node.attribute} == {"axis": 0}
            assert len(stored[node.input[1]]) == len(stored[node.input[0]])
            channels += 1
    assert channels
