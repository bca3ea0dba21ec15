"""The NIR graph, read back and run by a small interpreter of its nodes."""

from collections import defaultdict
from graphlib import TopologicalSorter

import nir
import numpy as np
import pytest
import torch
from helpers import key_spikes
from tolerances import assert_close
from torch.nn.functional import avg_pool2d, conv2d

from trevsnn.deployment import export_nir
from trevsnn.deployment.operations import just_below
from trevsnn.models import weights_info


def run_node(node, x):
    """x: the sum of what comes in, with a batch in front, which NIR does not know."""
    tensor = torch.from_numpy
    match node:
        case nir.Conv2d():
            padding, stride = (tuple(int(v) for v in values) for values in (node.padding, node.stride))
            return conv2d(x, tensor(node.weight), tensor(node.bias), stride, padding, groups=int(node.groups))
        case nir.Scale():
            return x * tensor(node.scale)
        case nir.Threshold():
            return (x > tensor(node.threshold)).float()
        case nir.AvgPool2d():
            return avg_pool2d(x, tuple(int(k) for k in node.kernel_size))
        case nir.Flatten():
            return x.flatten(1 + int(node.start_dim))
        case nir.Output():
            return x
    raise AssertionError(f"{type(node).__name__} was not expected")


def run_graph(graph, inputs):
    """Results of all nodes by name; edges that meet add up."""
    incoming = defaultdict(list)
    for source, target in graph.edges:
        incoming[target].append(source)
    values = dict(inputs)
    for name in TopologicalSorter(incoming).static_order():
        if name not in values:
            values[name] = run_node(graph.nodes[name], sum(values[source] for source in incoming[name]))
    return values


NETWORKS = [
    {"timesteps": 1},
    {"channels": (8, 12), "timesteps": 4},
    {"channels": (8,), "timesteps": 3, "depth": 4},
    {"channels": (8, 12), "input_encoding": "grouped"},
    {"name": "trevsnn_dvs", "channels": (8, 12), "timesteps": 3},
    {"timesteps": 3, "fusion": False, "threshold": 0.3},
]


@pytest.mark.parametrize("options", NETWORKS, ids=str)
def test_the_graph_read_back_has_the_networks_logits_and_spikes(build, inputs, tmp_path, options):
    model = build(**options)
    export_nir(model, tmp_path / "x.nir", (32, 32))
    graph = nir.read(tmp_path / "x.nir", type_check=False)
    x = inputs(model)
    frames = {f"frame{t}": frame for t, frame in enumerate(x)} if model.config.frames else {"input": x}
    assert graph.inputs.keys() == frames.keys()
    values = run_graph(graph, frames)
    with torch.no_grad():
        assert_close(values["output"], model(x), "exported")
    levels = range(len(model.config.channels))
    names = [f"step{t}_level{level}_spikes" for t in range(model.config.timesteps) for level in levels]
    for name, expected in zip(names, key_spikes(model, x), strict=True):
        assert 0.05 < expected.mean() < 0.95
        np.testing.assert_array_equal(values[name].numpy(), expected.numpy())


def test_key_neurons_are_leaks_and_thresholds(build, tmp_path):
    model = build(channels=(8, 12), timesteps=3)
    export_nir(model, tmp_path / "x.nir", (32, 32))
    graph = nir.read(tmp_path / "x.nir", type_check=False)
    for t in range(1, 3):
        leak = graph.nodes[f"step{t}_level1_leak"]
        decay = model.grid.decays[t][1].detach().numpy()
        np.testing.assert_array_equal(leak.scale, np.broadcast_to(decay[:, None, None], leak.scale.shape))
    used = {type(node) for node in graph.nodes.values()}
    assert used == {nir.Input, nir.Conv2d, nir.Scale, nir.Threshold, nir.AvgPool2d, nir.Flatten, nir.Output}


@pytest.mark.parametrize("threshold", [0.5, 1.0, 0.3])
def test_a_potential_at_the_threshold_spikes(threshold):
    v = np.array([threshold, np.nextafter(np.float32(threshold), np.float32(0))], np.float32)
    np.testing.assert_array_equal(v > just_below(threshold), [True, False])


def test_the_graph_says_what_it_is(build, tmp_path):
    model = build(timesteps=1)
    info = weights_info("trevsnn_tiny", model.config, class_names=tuple("abcde"))
    export_nir(model, tmp_path / "x.nir", (32, 32), info)
    metadata = nir.read(tmp_path / "x.nir", type_check=False).metadata
    assert metadata["model"] in ("trevsnn_tiny", b"trevsnn_tiny")
    assert "class_names" in metadata


FEEDBACK = r"no up-sampling node, which step1_level0_doubled, step1_level1_doubled would be"
WITHOUT_FEEDBACK = r"fusion=False \(--no-fusion\), timesteps=1 or at most two levels \(--channels\)"
ROUNDS = r"no node that rounds, as a network with two_stream=True does"
WITHOUT_ROUNDING = r"two_stream=False \(--no-two-stream\)"


def test_what_nir_cannot_do_is_refused_with_every_way_out(build, tmp_path):
    file, demo = tmp_path / "x.nir", {"timesteps": 2, "two_stream": True}
    with pytest.raises(ValueError, match=f"{FEEDBACK}.*train a network with {WITHOUT_FEEDBACK}, or export"):
        export_nir(build(timesteps=2), file, (32, 32))
    with pytest.raises(ValueError, match=f"{ROUNDS}; train a network with {WITHOUT_ROUNDING}, or export"):
        export_nir(build(timesteps=1, two_stream=True), file, (32, 32))
    with pytest.raises(
        ValueError, match=f"{FEEDBACK}.* and {ROUNDS}; .*{WITHOUT_FEEDBACK}, and with {WITHOUT_ROUNDING}"
    ):
        export_nir(build(**demo), file, (32, 32))
    assert not any(tmp_path.iterdir())
    for way in ({"fusion": False}, {"timesteps": 1}, {"channels": (8, 12)}, {"channels": (8,)}):
        export_nir(build(**{**demo, **way, "two_stream": False}), file, (32, 32))
        with pytest.raises(ValueError, match=f"^NIR has {ROUNDS}"):
            export_nir(build(**{**demo, **way}), file, (32, 32))
