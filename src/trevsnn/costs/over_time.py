"""Cost of inference against the number of timesteps, next to a spiking ResNet's.

With `depth` fixed, the blocks of a T-RevSNN are shared out among the subnetworks, so that its cost is that of one
network whatever T; only the fusion of levels is done again at every step. An ordinary spiking network runs as a whole
at every step.

The spiking ResNet is MS-ResNet-34's shape: torchvision's resnet34 with a spiking neuron before each convolution but
the first. The image is directly encoded: the first convolution makes multiply-accumulates of it, once, as every step
sees the same image (counted per step it would cost more). All other layers accumulate at each step, at the same firing
rate as the T-RevSNN, the convolutions of its shortcuts and the classifier included.

Source: Hu et al., "Advancing Spiking Neural Networks Toward Deep Residual Learning", IEEE TNNLS 2024 (MS-ResNet).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet34

from trevsnn.costs.energy import Cost, layer_costs, totals
from trevsnn.costs.operations import assume_operations
from trevsnn.models import NetworkConfig, TRevSNN

TIMESTEPS = (1, 2, 4, 8)


@dataclass(frozen=True, kw_only=True)
class CostOverTime:
    """Of one image, at one T."""

    timesteps: int
    macs: int
    """Of the T-RevSNN, every spike counted as if it were a number."""
    fusion_macs: int
    """Its part in the convolutions between levels."""
    energy: Mapping[str, float]
    """pJ by convention."""
    resnet_macs: int
    """Of the spiking ResNet-34, all steps, every spike counted as if it were a number."""
    resnet: float
    """Its pJ, by the published convention. The strict one would leave out no more than the padding: all its layers but
    the first receive spikes."""


def cost_over_time(
    config: NetworkConfig,
    input_size: tuple[int, int, int],
    firing_rate: float,
    timesteps: Sequence[int] = TIMESTEPS,
) -> list[CostOverTime]:
    """A network at other T with the same blocks in all, every neuron of it and of the ResNet firing at one rate.

    Args:
        config: the network; its depth, or what its timesteps make of it, is kept.
        input_size: (in_chans, H, W).
        firing_rate: 0 to 1.
        timesteps: T.

    Raises:
        ValueError: for a network for clips, whose every step has a frame of its own; another rate; a T that the network
            cannot have.
    """
    if config.frames:
        raise ValueError("frames=True: a clip has a frame for every timestep, so its cost grows with T; give images")
    first, others = resnet34_macs(input_size, config.num_classes)
    points = []
    for steps in timesteps:
        with torch.device("meta"):
            model = TRevSNN(replace(config, timesteps=steps, depth=sum(config.blocks_per_cell)))
        costs = layer_costs(assume_operations(model, input_size, firing_rate))
        points.append(
            CostOverTime(
                timesteps=steps,
                macs=sum(cost.layer.macs for cost in costs),
                fusion_macs=sum(cost.layer.macs for cost in costs if cost.layer.kind == "fusion"),
                energy={name: cost.energy for name, cost in totals(costs).items()},
                resnet_macs=first + steps * others,
                resnet=Cost(first, steps * firing_rate * others).energy,
            )
        )
    return points


def resnet34_macs(input_size: tuple[int, int, int], num_classes: int) -> tuple[int, int]:
    """Multiply-accumulates of torchvision's resnet34 for one image: first convolution, everything after it."""
    with torch.device("meta"):
        network = resnet34(num_classes=num_classes).eval()
        network.conv1 = nn.Conv2d(input_size[0], 64, 7, stride=2, padding=3, bias=False)
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), counter:
            network(torch.empty(1, *input_size))
    first = sum(counter.get_flop_counts()["ResNet.conv1"].values()) // 2
    return first, counter.get_total_flops() // 2 - first
