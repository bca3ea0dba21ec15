"""The plan as a PyTorch module of plain operations: what torch.export writes."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, pad

from trevsnn.deployment import operations as ops
from trevsnn.deployment.operations import INPUT, OUTPUT, Operation
from trevsnn.deployment.plan import Plan
from trevsnn.layers.two_stream import LIMIT, STEP


class PlanModule(nn.Module):
    """Runs a plan: image (N, in_chans, H, W) or clip (T, N, in_chans, H, W) -> logits (N, num_classes).

    Args:
        plan: the network.
        also: names of operations whose results are returned after the logits.
    """

    def __init__(self, plan: Plan, also: tuple[str, ...] = ()):
        super().__init__()
        self.plan = plan
        self.also = also
        last = {name: number for number, o in enumerate(plan.operations) for name in o.inputs}
        self._last_uses = [[name for name in set(o.inputs) if last[name] == i] for i, o in enumerate(plan.operations)]
        for operation in plan.operations:
            match operation:
                case ops.Convolve(parameters=name, weight=weight, bias=bias):
                    self.register_buffer(f"{name}_weight", torch.from_numpy(weight))
                    self.register_buffer(f"{name}_bias", torch.from_numpy(bias))
                case ops.Leak(name=name, decay=decay):
                    self.register_buffer(name, torch.from_numpy(decay)[:, None, None])

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        kept = {}
        self.run(x, lambda name, value: kept.update({name: value}) if name in (OUTPUT, *self.also) else None)
        return (kept[OUTPUT], *(kept[name] for name in self.also)) if self.also else kept[OUTPUT]

    def run(self, x: Tensor, see: Callable[[str, Tensor], object]) -> None:
        """Show the result of every operation; what no later one needs is let go."""
        made = {INPUT: x}
        for number, operation in enumerate(self.plan.operations):
            made[operation.name] = self._run(operation, [made[name] for name in operation.inputs])
            see(operation.name, made[operation.name])
            for name in self._last_uses[number]:
                del made[name]

    def _run(self, operation: Operation, inputs: list[Tensor]) -> Tensor:
        x = inputs[0]
        match operation:
            case ops.Convolve(parameters=name, stride=stride, padding=(top, left, bottom, right), groups=groups):
                weight = getattr(self, f"{name}_weight")
                bias = getattr(self, f"{name}_bias")
                if (top, left) == (bottom, right):
                    return conv2d(x, weight, bias, stride, (top, left), groups=groups)
                return conv2d(pad(x, (left, right, top, bottom)), weight, bias, stride, groups=groups)
            case ops.Leak(name=name):
                return x * getattr(self, name)
            case ops.Spikes(neuron=neuron):
                return (x >= neuron.threshold).to(x.dtype)
            case ops.Add():
                return x + inputs[1]
            case ops.Round():
                return ((x / STEP).round() * STEP).clamp(-LIMIT, LIMIT)
            case ops.Half(last=last):
                return x.chunk(2, dim=1)[last]
            case ops.Concatenate():
                return torch.cat(inputs, dim=1)
            case ops.Double():
                return interpolate(x, scale_factor=2.0, mode="nearest")
            case ops.Crop(rows=rows, columns=columns):
                return x[..., rows, columns]
            case ops.Surround(padding=(top, left, bottom, right)):
                return pad(x, (left, right, top, bottom))
            case ops.Frame(step=step):
                return x[step]
            case ops.SpatialMean():
                return x.mean((2, 3), keepdim=True)
            case ops.StepMean():
                return torch.stack(inputs).mean(0)
            case ops.Flatten():
                return x.flatten(1)
        raise NotImplementedError(f"{type(operation).__name__} is not written for PyTorch")
