"""The plan as an ONNX graph with 8-bit convolutions, in the QDQ form that runtimes look for.

Around every convolution of spikes, and those behind it, stand QuantizeLinear and DequantizeLinear; membrane potentials,
the stem and the head stay float32.

- Weights are int8 per output channel.
- Spikes are 0 or 1, so their 8 bits lose nothing. Where a neuron's membrane potential is needed further on, the
  comparison is cast to uint8. Where it is not (the wide layer of a block), the quantisation of the convolution's output
  *is* the comparison: the bias holds minus the threshold, and the scale is so small that every positive sum of integers
  saturates to 255, which stands for a spike of 1, and every other to 0. So two convolutions follow each other directly.
- Other outputs of convolutions are uint8 between the smallest and largest value seen on images of the training data.

Weights that meet 8-bit inputs of the full range have 7 bits: processors without VNNI add pairs of products in 16 bits,
and would clip them. ONNX Runtime's documentation of quantisation calls that reduce_range.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import onnx
import torch
from torch import Tensor

from trevsnn.deployment import operations as ops
from trevsnn.deployment.module import PlanModule
from trevsnn.deployment.onnx_graph import OnnxGraph, convolution_attributes
from trevsnn.deployment.operations import Operation
from trevsnn.deployment.plan import Plan

Ranges = Mapping[str, tuple[float, float]]

_SPIKE = 1.0  # scale of spikes that are 0 or 1
_LEVELS = 255  # of uint8, without 0
_LARGEST_BIAS = 2**30  # of int32, with room for the sum that it is added to


class Int8Graph(OnnxGraph):
    """An ONNX graph in which the convolutions that begin with spikes have 8 bits.

    Args:
        plan: the network.
        ranges: from `observe`.
    """

    def __init__(self, plan: Plan, ranges: Ranges):
        super().__init__()
        self.plan, self.ranges = plan, ranges
        self.scales: dict[str, float] = {}
        """Of the tensors that are dequantised uint8."""
        self.thresholded = _thresholded(plan)

    def write(self, operation: Operation) -> None:
        if isinstance(operation, ops.Convolve) and operation.input in self.scales:
            self._quantised(operation)
        elif not (isinstance(operation, ops.Spikes) and operation.input in self.thresholded):
            super().write(operation)

    def _spikes(self, membrane: str, name: str, threshold: float) -> None:
        fires = self._fires(membrane, name, threshold)
        quantised = self.node("Cast", [fires], f"{name}_uint8", to=onnx.TensorProto.UINT8)
        self._dequantise(quantised, name, "spikes", _SPIKE, 0)

    def _quantised(self, conv: ops.Convolve) -> None:
        spikes, source = self.thresholded.get(conv.name), self.scales[conv.input]
        full_range = source != _SPIKE and conv.groups == 1
        bias = conv.bias.astype(np.float64) - (spikes.neuron.threshold if spikes else 0)
        weight_scale = np.abs(conv.weight).max((1, 2, 3)) / (63 if full_range else 127)
        smallest = np.abs(bias) / (source * _LARGEST_BIAS)
        shared = (weight_scale >= smallest).all()  # else the scale is this operation's own
        weight_scale = np.maximum(weight_scale, smallest)
        weight_scale = np.where(weight_scale > 0, weight_scale, 1).astype(np.float32)
        weight = np.rint(conv.weight / weight_scale.reshape(-1, 1, 1, 1)).astype(np.int8)
        unit = np.float32(source) * weight_scale  # of the sums of integers, per channel
        bias = np.rint(bias / unit) + (spikes is not None)  # a potential at the threshold spikes
        inputs = [
            conv.input,
            self._constant_dequantised(f"{conv.parameters if shared else conv.name}_weight", weight, weight_scale),
            self._constant_dequantised(f"{conv.name}_bias", bias.astype(np.int32), unit),
        ]
        output = self.node("Conv", inputs, f"{conv.name}_float", **convolution_attributes(conv))
        if spikes:
            scale = self._scale(conv.name, float(unit.min()) / _LEVELS, 0)
            quantised = self.node("QuantizeLinear", [output, *scale], f"{spikes.name}_uint8")
            self._dequantise(quantised, spikes.name, "saturated", 1 / _LEVELS, 0)
        else:
            low, high = self.ranges[conv.name]
            step = (high - low) / _LEVELS or 1.0
            zero = round(-low / step)
            quantised = self.node("QuantizeLinear", [output, *self._scale(conv.name, step, zero)], f"{conv.name}_uint8")
            self._dequantise(quantised, conv.name, conv.name, step, zero)

    def _constant_dequantised(self, name: str, values: np.ndarray, scale: np.ndarray) -> str:
        output = f"{name}_dequantised"
        if all(node.output[0] != output for node in self.nodes):
            inputs = [self.constant(f"{name}_{values.dtype}", values), self.constant(f"{name}_scale", scale)]
            self.node("DequantizeLinear", inputs, output, axis=0)
        return output

    def _dequantise(self, quantised: str, name: str, scale_name: str, scale: float, zero: int) -> None:
        self.node("DequantizeLinear", [quantised, *self._scale(scale_name, scale, zero)], name)
        self.scales[name] = scale

    def _scale(self, name: str, scale: float, zero: int) -> list[str]:
        """Constants: scale and zero point."""
        return [
            self.constant(f"{name}_scale", np.array(scale, np.float32)),
            self.constant(f"{name}_zero", np.array(zero, np.uint8)),
        ]


def _thresholded(plan: Plan) -> dict[str, ops.Spikes]:
    """Convolutions that nothing but spikes are made of, and these spikes."""
    uses: dict[str, list[Operation]] = {}
    for operation in plan.operations:
        for name in operation.inputs:
            uses.setdefault(name, []).append(operation)
    convolutions = [o.name for o in plan.operations if isinstance(o, ops.Convolve)]
    return {
        name: user
        for name in convolutions
        for user in uses[name][:1]
        if len(uses[name]) == 1 and isinstance(user, ops.Spikes)
    }


def observe(plan: Plan, batches: Iterable[Tensor]) -> Ranges:
    """The smallest and largest value, 0 included, that every convolution makes of inputs of the network.

    Raises:
        ValueError: when there is no input.
    """
    module = PlanModule(plan)
    ranges = {o.name: (0.0, 0.0) for o in plan.operations if isinstance(o, ops.Convolve)}
    seen = 0

    def see(name: str, values: Tensor) -> None:
        if name in ranges:
            low, high = ranges[name]
            ranges[name] = min(low, float(values.min())), max(high, float(values.max()))

    with torch.inference_mode():
        for batch in batches:
            module.run(batch, see)
            seen += 1
    if not seen:
        raise ValueError("there is no input to take the ranges of 8 bits from")
    return ranges
