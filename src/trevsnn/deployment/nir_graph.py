"""The plan as a graph of the Neuromorphic Intermediate Representation. Experimental.

Where several edges meet, NIR adds, so sums need no node. Every step has weights of its own, so the graph is unrolled
over the steps: one pass through it, without time, is all T steps. A key neuron is a leaky integrator without reset,

    h[t] = alpha * h[t-1] + f[t]        spike where h[t] >= 0.5

of which each step is written out: a `Scale` by alpha leads from everything that h[t-1] is a sum of to everything that
reads h[t], and a `Threshold` makes the spikes. (`LI` is such a neuron in continuous time, for a graph that time runs
through.)
NIR's Threshold fires above its threshold, ours at it too: the number before 0.5 is the same threshold in float32.

NIR has no up-sampling, which feedback from a level of lower resolution needs: one step, two levels, or no fusion do
without it.

Source: Pedersen et al., "Neuromorphic intermediate representation: A unified instruction set for interoperable
brain-inspired computing", Nature Communications 2024.
"""

from collections.abc import Mapping

import nir
import numpy as np

from trevsnn._util.suggest import shortened
from trevsnn.deployment import operations as ops
from trevsnn.deployment.operations import INPUT, OUTPUT, Operation
from trevsnn.deployment.plan import Plan


def nir_graph(plan: Plan, metadata: Mapping[str, str]) -> nir.NIRGraph:
    """The graph of a plan: one input node, or one per frame (`frame0`, `frame1`, ...), and one output node, `logits`.

    Types are not checked: NIR's check takes depth-wise convolutions for ones of a single channel.

    Args:
        plan: the network, its stem not merged (`fold(merge_stem=False)`).
        metadata: of the graph.

    Raises:
        ValueError: for operations that NIR has no node for; the message names them.
    """
    _check_expressible(plan)
    nodes: dict[str, nir.NIRNode] = {}
    edges: list[tuple[str, str]] = []
    sources: dict[str, list[str]] = {}  # the nodes whose sum a tensor is
    shapes = {INPUT: plan.input_shape} | {operation.name: operation.shape for operation in plan.operations}
    if plan.frames is None:
        nodes[INPUT] = nir.Input({"input": np.array(plan.input_shape)})
        sources[INPUT] = [INPUT]
    for operation in plan.operations:
        name = operation.name
        if isinstance(operation, ops.Add):
            sources[name] = [node for part in operation.inputs for node in sources[part]]
            continue
        sources[name] = [name]
        if isinstance(operation, ops.Frame):
            nodes[name] = nir.Input({"input": np.array(operation.shape)})
            continue
        nodes[name] = _node(operation, shapes[operation.input])
        edges += [(source, name) for part in operation.inputs for source in sources[part]]
    nodes["output"] = nir.Output({"output": np.array(shapes[OUTPUT])})
    edges.append((OUTPUT, "output"))
    return nir.NIRGraph(nodes, edges, metadata=dict(metadata), type_check=False)


def _check_expressible(plan: Plan) -> None:
    """Refuse operations that NIR has no node for, with every network that has none of them.

    Raises:
        ValueError: naming the operations.
    """
    feedback = [operation.name for operation in plan.operations if isinstance(operation, ops.Double)]
    rounds = any(isinstance(operation, ops.Round) for operation in plan.operations)
    found, ways = [], []
    if feedback:
        found.append(
            f"no up-sampling node, which {shortened(feedback)} would be, feedback from a level of lower resolution"
        )
        ways.append("fusion=False (--no-fusion), timesteps=1 or at most two levels (--channels)")
    if rounds:
        found.append("no node that rounds, as a network with two_stream=True does")
        ways.append("two_stream=False (--no-two-stream)")
    if found:
        raise ValueError(
            f"NIR has {' and '.join(found)}; train a network with {', and with '.join(ways)}, or export to another "
            "format"
        )


def _node(operation: Operation, shape: tuple[int, ...]) -> nir.NIRNode:
    """The node of an operation on an input of this shape."""
    match operation:
        case ops.Convolve(weight=weight, bias=bias, stride=stride, padding=(top, left, _, _), groups=groups):
            return nir.Conv2d(shape[1:], weight, stride, (top, left), 1, groups, bias)  # type: ignore[arg-type]
        case ops.Leak(decay=decay):
            return nir.Scale(np.broadcast_to(decay[:, None, None], shape).copy())
        case ops.Spikes(neuron=neuron):
            return nir.Threshold(np.full(shape, ops.just_below(neuron.threshold)))
        case ops.SpatialMean():
            size = np.array(shape[1:])
            return nir.AvgPool2d(size, size, np.zeros(2, int))
        case ops.StepMean():
            return nir.Scale(np.full(shape, 1 / len(operation.inputs), np.float32))
        case ops.Flatten():
            return nir.Flatten({"input": np.array(shape)}, start_dim=0)
    raise NotImplementedError(f"{type(operation).__name__} is not written for NIR")
