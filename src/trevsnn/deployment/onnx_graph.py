"""The plan as an ONNX graph.

Spikes are comparisons, `GreaterOrEqual` and `Cast`. ONNX Runtime computes convolutions in a memory layout of its own,
which it leaves for every comparison; with large batches that takes time. `spike_op="hard-sigmoid"` writes

    spike(v) = max(0, min(1, 2^25 v - (2^24 - 1)))

in its place, which it merges into the convolution before or computes in its own layout. In float32 this is the
comparison exactly: 2^25 v is exact, the largest number below 0.5 is 0.5 - 2^-25 and gives 0, 0.5 gives 1, and what lies
beyond is clamped. In another precision it is not, so the comparison is the default.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from trevsnn.choices import SpikeOp
from trevsnn.deployment import operations as ops
from trevsnn.deployment.operations import INPUT, OUTPUT, Operation
from trevsnn.deployment.plan import Plan
from trevsnn.layers.two_stream import LIMIT, STEP

OLDEST_OPSET = 13
"""The first that quantises per channel."""
DEFAULT_OPSET = 18
BATCH = "batch"


def ramp(threshold: float) -> tuple[float, float]:
    """Slope and offset of a ramp that is 1 from the threshold on and 0 at the next smaller float: exact in fp32."""
    threshold = float(np.float32(threshold))
    slope = 1 / (threshold - float(ops.just_below(threshold)))
    return slope, 1 - slope * threshold


class OnnxGraph:
    """Collects nodes and constants of an ONNX graph.

    Args:
        spike_op: how spikes are written.
    """

    def __init__(self, spike_op: SpikeOp = "comparison"):
        self.spike_op = spike_op
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, value: np.ndarray) -> str:
        """The name of a constant, written once."""
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Write a node; returns the name of its output."""
        self.nodes.append(helper.make_node(kind, list(inputs), [output], output, **attributes))
        return output

    def write(self, operation: Operation) -> None:
        """Write an operation."""
        name, inputs = operation.name, operation.inputs
        match operation:
            case ops.Convolve():
                self._convolve(operation)
            case ops.Leak(decay=decay):
                self.node("Mul", [*inputs, self.constant(f"{name}_decay", decay[:, None, None])], name)
            case ops.Spikes(neuron=neuron):
                self._spikes(operation.input, name, neuron.threshold)
            case ops.Add():
                self.node("Add", inputs, name)
            case ops.Round():
                self._grid(operation.input, name)
            case ops.Half(last=last, shape=(channels, *_)):
                bounds = [[channels * last], [channels * (1 + last)], [1]]
                self.node("Slice", [*inputs, *self._bounds(name, bounds)], name)
            case ops.Concatenate():
                self.node("Concat", inputs, name, axis=1)
            case ops.Double():
                scales = self.constant("double", np.array([1, 1, 2, 2], np.float32))
                nearest = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
                self.node("Resize", [*inputs, "", scales], name, **nearest)
            case ops.Crop(rows=rows, columns=columns):
                bounds = [[rows.start, columns.start], [rows.stop, columns.stop], [2, 3]]
                self.node("Slice", [*inputs, *self._bounds(name, bounds)], name)
            case ops.Surround(padding=(top, left, bottom, right)):
                pads = self.constant(f"{name}_pads", np.array([0, 0, top, left, 0, 0, bottom, right]))
                self.node("Pad", [*inputs, pads], name)
            case ops.Frame(step=step):
                self.node("Gather", [*inputs, self.constant(f"index_{step}", np.array(step))], name, axis=0)
            case ops.SpatialMean():
                self.node("GlobalAveragePool", inputs, name)
            case ops.StepMean():
                self.node("Mean", inputs, name)
            case ops.Flatten():
                self.node("Flatten", inputs, name)
            case _:
                raise NotImplementedError(f"{type(operation).__name__} is not written for ONNX")

    def _convolve(self, conv: ops.Convolve) -> None:
        weight = self.constant(f"{conv.parameters}_weight", conv.weight)
        bias = self.constant(f"{conv.parameters}_bias", conv.bias)
        self.node("Conv", [conv.input, weight, bias], conv.name, **convolution_attributes(conv))

    def _bounds(self, name: str, bounds: Sequence[Sequence[int]]) -> list[str]:
        parts = zip(("starts", "ends", "axes"), bounds, strict=True)
        return [self.constant(f"{name}_{part}", np.array(values)) for part, values in parts]

    def _grid(self, x: str, name: str) -> None:
        steps, step = (
            self.constant(f"grid_{what}", np.array(value, np.float32))
            for what, value in (("steps", 1 / STEP), ("step", STEP))
        )
        limits = [self.constant(f"grid_{sign}", np.array(sign * LIMIT, np.float32)) for sign in (-1, 1)]
        units = self.node("Mul", [x, steps], f"{name}_units")
        whole = self.node("Round", [units], f"{name}_whole")
        self.node("Clip", [self.node("Mul", [whole, step], f"{name}_unlimited"), *limits], name)

    def _spikes(self, membrane: str, name: str, threshold: float) -> None:
        if self.spike_op == "hard-sigmoid":
            slope, offset = ramp(threshold)
            self.node("HardSigmoid", [membrane], name, alpha=slope, beta=offset)
        else:
            self.node("Cast", [self._fires(membrane, name, threshold)], name, to=onnx.TensorProto.FLOAT)

    def _fires(self, membrane: str, name: str, threshold: float) -> str:
        limit = self.constant(f"threshold_{threshold}", np.array(threshold, np.float32))
        return self.node("GreaterOrEqual", [membrane, limit], f"{name}_bool")


def convolution_attributes(conv: ops.Convolve) -> dict[str, Any]:
    """Attributes of ONNX's Conv."""
    return {
        "kernel_shape": conv.weight.shape[2:],
        "strides": [conv.stride] * 2,
        "pads": conv.padding,
        "group": conv.groups,
    }


def check_opset(opset: int) -> None:
    """Refuse a version of ONNX's operators.

    Raises:
        ValueError: when it is too old, or newer than the installed onnx knows.
    """
    newest = onnx.defs.onnx_opset_version()
    if opset < OLDEST_OPSET:
        raise ValueError(f"opset={opset} is too old; use {OLDEST_OPSET} at least, {DEFAULT_OPSET} for example")
    if opset > newest:
        raise ValueError(f"opset={opset} is newer than the installed onnx knows; use {newest} at most")


def onnx_model(
    plan: Plan,
    graph: OnnxGraph,
    *,
    opset: int = DEFAULT_OPSET,
    metadata: dict[str, str] | None = None,
    also: Sequence[str] = (),
) -> onnx.ModelProto:
    """The model file of a plan, checked.

    Args:
        plan: the network.
        graph: an empty one, which writes the operations.
        opset: version of ONNX's operators, one that `check_opset` takes.
        metadata: becomes `metadata_props`.
        also: names of operations whose results are outputs too, after the logits.
    """
    for operation in plan.operations:
        graph.write(operation)
    outputs = [OUTPUT, *also]
    proto = helper.make_graph(
        graph.nodes,
        "trevsnn",
        [_value(INPUT, plan.input_shape, plan.frames)],
        [_value(name, plan[name].shape) for name in outputs],
        list(graph.constants.values()),
    )
    imports = [helper.make_opsetid("", opset)]
    version = helper.find_min_ir_version_for(imports)  # runtimes refuse files of a newer version than they know
    model = helper.make_model(proto, opset_imports=imports, ir_version=version, producer_name="trevsnn")
    helper.set_model_props(model, metadata or {})
    onnx.checker.check_model(model, full_check=True)
    return model


def _value(name: str, shape: tuple[int, ...], frames: int | None = None) -> onnx.ValueInfoProto:
    dimensions = [BATCH, *shape] if frames is None else [frames, BATCH, *shape]
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, dimensions)
