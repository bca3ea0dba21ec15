import json

import numpy as np
import onnx
import pytest
import torch
from helpers import key_spikes
from onnx import helper
from tolerances import assert_close

from trevsnn.deployment import export_onnx, plan_network
from trevsnn.deployment.onnx_graph import OLDEST_OPSET, ramp
from trevsnn.models import weights_info

NETWORKS = [
    ({}, (32, 32)),
    ({"timesteps": 3, "depth": 4, "kernel_size": 5}, (45, 54)),
    ({"channels": (8, 12)}, (17, 30)),
    ({"input_encoding": "grouped"}, (32, 32)),
    ({"num_classes": 0}, (32, 32)),
    ({"fusion": False, "residual_scale": False, "learn_decay": False}, (32, 32)),
    ({"two_stream": True, "depth": 3}, (45, 54)),
    ({"threshold": 0.3}, (32, 32)),
    ({"name": "trevsnn_dvs", "timesteps": 4}, (32, 33)),
    ({"name": "trevsnn_dvs", "timesteps": 2, "stem_sharing": False}, (32, 32)),
]


@pytest.mark.parametrize(("options", "size"), NETWORKS, ids=str)
@pytest.mark.parametrize("spike_op", ["comparison", "hard-sigmoid"])
def test_onnx_runtime_has_the_networks_logits_and_spikes(build, inputs, session, tmp_path, options, size, spike_op):
    model = build(**options)
    names = plan_network(model.fold(), *size).key_spikes
    export_onnx(model, tmp_path / "x.onnx", size, spike_op=spike_op, also=names)
    network = session(tmp_path / "x.onnx")
    for batch in (1, 3):
        x = inputs(model, batch, size)
        logits, *spikes = network.run(None, {"input": x.numpy()})
        with torch.no_grad():
            assert_close(torch.from_numpy(logits), model(x), "exported")
        for actual, expected in zip(spikes, key_spikes(model, x), strict=True):
            assert 0.05 < expected.mean() < 0.95
            np.testing.assert_array_equal(actual, expected.numpy())


def test_spikes_are_comparisons(build, tmp_path):
    export_onnx(build(), tmp_path / "x.onnx", (32, 32))
    file = onnx.load(tmp_path / "x.onnx")
    assert file.producer_name == "trevsnn"
    kinds = {node.op_type for node in file.graph.node}
    assert kinds == {"Conv", "Add", "Mul", "Cast", "GreaterOrEqual", "Resize", "GlobalAveragePool", "Flatten"} | {
        "Slice",
        "Pad",
    }


@pytest.mark.parametrize("threshold", [0.5, 1.0, 0.3, 0.7, 1e-6, 1234.5])
def test_the_hard_sigmoid_is_the_comparison(session, threshold):
    limit = np.float32(threshold)
    near = [limit]
    for direction in (0, np.inf):
        value = limit
        for _ in range(1000):
            value = np.nextafter(value, np.float32(direction))
            near.append(value)
    random = np.random.default_rng(0).integers(0, 2**32, 2**20, np.uint32).view(np.float32)
    v = np.concatenate([np.array([*near, 0, -0.0, 1e-45, np.inf, -np.inf], np.float32), random[np.isfinite(random)]])
    value = helper.make_tensor_value_info
    node = helper.make_node("HardSigmoid", ["v"], ["s"], **dict(zip(("alpha", "beta"), ramp(threshold), strict=True)))
    graph = helper.make_graph(
        [node], "spike", [value("v", 1, [len(v)])], [value("s", onnx.TensorProto.FLOAT, [len(v)])]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    (spikes,) = session(model.SerializeToString()).run(None, {"v": v})
    np.testing.assert_array_equal(spikes, (v >= limit).astype(np.float32))


@pytest.mark.parametrize("opset", [OLDEST_OPSET, 15, 17, 21])
def test_opsets(build, inputs, session, tmp_path, opset):
    model = build()
    export_onnx(model, tmp_path / "x.onnx", (32, 32), opset=opset)
    assert onnx.load(tmp_path / "x.onnx").opset_import[0].version == opset
    x = inputs(model)
    (logits,) = session(tmp_path / "x.onnx").run(None, {"input": x.numpy()})
    with torch.no_grad():
        assert_close(torch.from_numpy(logits), model(x), "exported")
    export_onnx(model, tmp_path / "x.onnx", (32, 32), opset=opset, calibration=[x])
    (logits,) = session(tmp_path / "x.onnx").run(None, {"input": x.numpy()})
    assert np.isfinite(logits).all()


def test_opsets_out_of_range(build, tmp_path):
    for opset, message in [(OLDEST_OPSET - 1, "is too old"), (1000, "newer than the installed onnx")]:
        with pytest.raises(ValueError, match=message):
            export_onnx(build(), tmp_path / "x.onnx", (32, 32), opset=opset)
    assert not any(tmp_path.iterdir())


def test_the_file_says_what_it_is(build, session, tmp_path):
    model = build()
    about = {"class_names": ("a", "b", "c", "d", "e"), "dataset": "letters", "preprocessing": {"mean": [0.5]}}
    export_onnx(model, tmp_path / "x.onnx", (40, 32), weights_info("trevsnn_tiny", model.config, **about))
    network = session(tmp_path / "x.onnx")
    metadata = network.get_modelmeta().custom_metadata_map
    assert metadata["model"] == "trevsnn_tiny"
    assert metadata["dataset"] == "letters"
    assert json.loads(metadata["class_names"]) == ["a", "b", "c", "d", "e"]
    assert json.loads(metadata["preprocessing"]) == {"mean": [0.5]}
    assert json.loads(metadata["input_size"]) == [3, 40, 32]
    assert json.loads(metadata["timesteps"]) == 4
    assert network.get_inputs()[0].shape == ["batch", 3, 40, 32]


def test_equal_networks_make_equal_files(build, tmp_path):
    for name in ("a", "b"):
        export_onnx(build(), tmp_path / name, (32, 32))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
