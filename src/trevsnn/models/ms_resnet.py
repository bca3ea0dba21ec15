"""MS-ResNet with temporal reversibility: what `MSResNet` of the baselines is by back-propagation through time.

A level of the grid is a stage of the ResNet. Only the last layer of a stage, which adds up its residuals, keeps a
membrane potential; the neurons inside are turned off in time, and only spikes pass from stage to stage:

    h_l[t] = alpha_l * h_l[t-1] + stage_l(below) + up_l(above)        below, above: see `trevsnn.reversible.grid`

All steps share all weights and decays. The statistics of BatchNorm are each step's own: the firing rates differ from
step to step, at step 0 most of all, where nothing was before.

Shapes: image (N, in_chans, H, W), level l (N, C_l, H_l, W_l), logits (N, num_classes). Every stage halves the
resolution.

Source: Hu et al., "High-Performance Temporal Reversible Spiking Neural Networks with O(L) Training Memory and
O(1) Inference Cost", ICML 2024; the ResNet: see `trevsnn.layers.ms_block`.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from trevsnn.layers import ConvNorm, Fusion, MembraneShortcutBlock
from trevsnn.models.base import ReversibleNetwork
from trevsnn.models.config import ReversibleMSResNetConfig
from trevsnn.reversible import ReversibleGrid, StepState, run_once

INITIAL_DECAY = 0.25
"""That of the baseline's neurons, 1 - 1 / tau with tau = 4/3."""

Module = TypeVar("Module", bound=nn.Module)


class Cell(Fusion):
    """What level l adds to its membrane potential at step t; `down` is the stage."""

    def forward(self, below: Tensor, above: Tensor | None = None) -> Tensor:
        return self.join(*super().forward(below, above))


class ReversibleMSResNet(ReversibleNetwork):
    """MS-ResNet for images, or for clips of frames (see `BaseConfig.frames`), whose classifier reads the firing rates.

    The first stage of an image runs once: it would come to the same at every step.

    Args:
        config: the options; or give them as keywords (see `ReversibleMSResNetConfig`).

    Raises:
        ValueError: for an option out of range, or (in `forward`) an input that does not fit.
    """

    representative = "trev_ms_resnet34"
    config_type = ReversibleMSResNetConfig
    config: ReversibleMSResNetConfig

    def __init__(self, config: ReversibleMSResNetConfig | None = None, **options: Any):
        super().__init__(config, **options)
        config = self.config
        self.num_features = self.head_hidden_size = config.channels[-1]
        first, *others = _build_stages(config)
        # with frames it is part of the cells of level 0: they run again from the frames, which are there anyway
        self.encoder, first = (nn.Sequential(), first) if config.frames else (first, nn.Sequential())
        decays = [nn.Parameter(torch.full((channels,), INITIAL_DECAY)) for channels in config.channels]
        self.grid = ReversibleGrid(_build_cells(config, [first, *others]), decays, config.memory, config.neuron)
        self.reset_classifier(config.num_classes)
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_chans, H, W), or (T, N, in_chans, H, W) with frames -> logits (N, num_classes)."""
        self.check_input(x)
        if self.config.frames:
            rates = self.grid(frames=x, readout=_firing_rates)
        else:
            x = run_once(list(self.encoder), x, self.grid.memory, self.grid.check_replay, "encoder")
            rates = self.grid(constant=x, readout=_firing_rates)
        return self.head(torch.stack(rates).mean(0))

    def get_classifier(self) -> nn.Module:
        """The classifier."""
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A new classifier for another number of classes. Pooling is always the mean.

        Raises:
            ValueError: for another global_pool than None or "avg", or no class.
        """
        if global_pool not in (None, "avg"):
            raise ValueError(f"global_pool={global_pool!r} is not available; the network pools by the mean, 'avg'")
        self.config = replace(self.config, num_classes=num_classes)
        self.weights_info = self.weights_info and replace(self.weights_info, class_names=None)
        self.head = nn.Linear(self.num_features, num_classes).to(next(self.parameters()))

    def check_input(self, x: Tensor) -> None:
        """Refuse an input of `forward` that does not fit.

        Raises:
            ValueError: naming its shape.
        """
        super().check_input(x)
        smallest = self.config.stem_stride * 2 ** len(self.config.channels)
        if min(x.shape[-2:]) < smallest:
            raise ValueError(
                f"input of {x.shape[-2]} x {x.shape[-1]} pixels is too small: the map of the last stage would shrink "
                f"below one pixel; use at least {smallest} x {smallest}"
            )


def _build_stages(config: ReversibleMSResNetConfig) -> list[nn.Sequential]:
    """One per level; the first begins with the stem."""
    kernel_size = 7 if config.stem_stride > 1 else 3
    stages, below = [], config.channels[0]
    for level, (channels, blocks) in enumerate(zip(config.channels, config.blocks, strict=True)):
        units: list[nn.Module] = [MembraneShortcutBlock(below, channels, 2, level > 0, config.neuron)]
        units += [MembraneShortcutBlock(channels, channels, neuron=config.neuron) for _ in range(blocks - 1)]
        if level == 0:
            units.insert(0, ConvNorm(config.in_chans, channels, kernel_size, config.stem_stride))
        stages.append(nn.Sequential(*units))
        below = channels
    return stages


def _build_cells(config: ReversibleMSResNetConfig, stages: Sequence[nn.Sequential]) -> list[list[Cell]]:
    """cells[t][l]: the same weights at every step."""
    ups = [ConvNorm(above, own, 1) if config.fusion else None for own, above in pairwise(config.channels)]
    return [
        [
            Cell(_share_weights(stage), _share_weights(up) if t and up else None)
            for stage, up in zip(stages, [*ups, None], strict=True)
        ]
        for t in range(config.timesteps)
    ]


def _share_weights(module: Module) -> Module:
    """A copy with buffers of its own and the same parameters."""
    return deepcopy(module, {id(p): p for p in module.parameters()})


def _firing_rates(state: StepState) -> Tensor:
    return state.spikes().mean((2, 3))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, ConvNorm):
        nn.init.constant_(module.norm.weight, 0.5)
    elif isinstance(module, MembraneShortcutBlock):
        nn.init.zeros_(module.conv2.norm.weight)
