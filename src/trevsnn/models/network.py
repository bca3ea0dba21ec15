"""T-RevSNN: a grid of spiking cells with a stem and heads.

Shapes: image (N, in_chans, H, W), level l (N, C_l, H_l, W_l), logits (N, num_classes). H_0 = H / 4; every
further level but the last halves it.

Source: Hu et al., "High-Performance Temporal Reversible Spiking Neural Networks with O(L) Training Memory and
O(1) Inference Cost", ICML 2024.
"""

import json
import math
from dataclasses import asdict, replace
from itertools import accumulate
from operator import mul
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelHubMixin, hf_hub_download
from torch import Tensor, nn

from trevsnn.layers import (
    AuxiliaryHead,
    SpikeHead,
    Stem,
)
from trevsnn.layers.stem import STRIDE
from trevsnn.models.base import ReversibleNetwork, SpikingNetwork
from trevsnn.models.cells import build_cells
from trevsnn.models.config import NetworkConfig
from trevsnn.models.weights import WEIGHTS_FILE, read_weights_info, save_weights, weights_file
from trevsnn.reversible import ReversibleGrid, StepState, run_once

INITIAL_DECAY = 0.5


def require_trevsnn(model: SpikingNetwork, what: str) -> "TRevSNN":
    """model itself, for what only a T-RevSNN can do.

    Raises:
        ValueError: when it is of another family.
    """
    if not isinstance(model, TRevSNN):
        raise ValueError(f"{what} is for T-RevSNNs; {model.described().model} is of another family")
    return model


class TRevSNN(ReversibleNetwork, ModelHubMixin, library_name="trevsnn", license="apache-2.0"):
    """Temporal-reversible spiking network for images, or for clips of frames (see `NetworkConfig.frames`).

    `forward` returns logits (N, num_classes); in training with `set_intermediate_supervision()` those of every head,
    the deployed one last. `save_pretrained` and `push_to_hub` are huggingface_hub's.

    Args:
        config: the options; or give them as keywords (see `NetworkConfig`).

    Raises:
        ValueError: for an option out of range, or (in `forward`) an input that does not fit.
    """

    representative = "trevsnn_tiny"
    config_type = NetworkConfig
    heads = ("head.", "aux_heads.")
    config: NetworkConfig

    def __init__(self, config: NetworkConfig | None = None, **options: Any):
        super().__init__(config, **options)
        config = self.config
        self.num_features = self.head_hidden_size = config.channels[-1]
        # with frames, the stem is part of the cells of level 0: they run again from the frames, which are there anyway
        self.stem: nn.Module = nn.Identity() if config.frames else Stem(config.in_chans, config.channels[0])
        decays = [
            [nn.Parameter(torch.full((channels,), INITIAL_DECAY), config.learn_decay) for channels in config.channels]
            for _ in range(config.timesteps)
        ]
        self.grid = ReversibleGrid(build_cells(config), decays, config.memory, config.neuron)
        self.head_drop = nn.Dropout(config.drop_rate)
        self.reset_classifier(config.num_classes)
        self.apply(_initialise)

    def set_intermediate_supervision(self, enable: bool = True) -> None:
        super().set_intermediate_supervision(enable)
        self.aux_heads.requires_grad_(enable)  # what is not used is not waited for, by DistributedDataParallel say

    def set_negative_slope(self, slope: float) -> None:
        """Slope for negative values of the leaky-relu in the stem and the head; 1 makes both linear."""
        for module in self.modules():
            if isinstance(module, (Stem, SpikeHead)):
                module.negative_slope = float(slope)

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """(N, in_chans, H, W), or (T, N, in_chans, H, W) with frames -> logits (N, num_classes).

        In training with `set_intermediate_supervision()`: the list of every head's, or with frames of every step's.
        """
        every_head = self.training and self.intermediate_supervision and self.config.aux_heads and self.num_classes
        if self.config.frames:
            rates = self._run(x, _firing_rates)
            if every_head:
                return [self.head(self.head_drop(rate)) for rate in rates]
            return self.head(self.head_drop(torch.stack(rates).mean(0)))
        if not (every_head and self.aux_heads):
            return self.forward_head(self.forward_features(x))
        *floats, spikes = self._run(x, self._read_heads)
        logits = [head(self.head_drop(pooled)) for head, pooled in zip(self.aux_heads, floats, strict=True)]
        return [*logits, self.head(self.head_drop(spikes))]

    def forward_features(self, x: Tensor) -> Tensor:
        """The input of `forward` -> spikes of the last level after the last step, with frames their mean over all
        steps, (N, C, H', W')."""
        if self.config.frames:
            return torch.stack(self._run(x, StepState.spikes)).mean(0)
        (spikes,) = self._run(x)
        return spikes

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Spikes (N, C, H', W') -> logits (N, num_classes); firing rates (N, C) with pre_logits."""
        pooled = self.head_drop(_spatial_mean(features))
        return pooled.flatten(1) if pre_logits else self.head(pooled)

    def get_classifier(self) -> nn.Module:
        """The deployed classifier."""
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """New classifiers for another number of classes; 0 removes them. Pooling is always the mean.

        Raises:
            ValueError: for another global_pool than None or "avg".
        """
        if global_pool not in (None, "avg"):
            raise ValueError(f"global_pool={global_pool!r} is not available; the network pools by the mean, 'avg'")
        self.config = replace(self.config, num_classes=num_classes)
        self.weights_info = self.weights_info and replace(self.weights_info, class_names=None)
        like = self.stem.conv1.weight if isinstance(self.stem, Stem) else next(self.parameters())
        heads = nn.ModuleList(AuxiliaryHead(self.num_features, num_classes) for _ in self.config.head_steps[:-1])
        self.aux_heads = heads.apply(_initialise).to(like).requires_grad_(self.intermediate_supervision)
        self.head: nn.Module = SpikeHead(self.num_features, num_classes) if num_classes else nn.Flatten()
        self.head.apply(_initialise).to(like)

    def fold(self) -> "TRevSNN":
        """The deployed network (see `trevsnn.models.folding`), a copy in eval mode with the same logits."""
        from trevsnn.models.folding import fold

        return fold(self)

    def _save_pretrained(self, save_directory: Path) -> None:
        from trevsnn.models.folding import is_folded

        if is_folded(self):
            raise ValueError("a folded network cannot be saved by name; save the one that it was folded from")
        save_weights(self, save_directory / WEIGHTS_FILE, self.described())
        config = json.dumps(asdict(self.config), indent=2)
        (save_directory / "config.json").write_text(config + "\n", encoding="utf-8")

    @classmethod
    def from_pretrained(
        cls,
        name_or_folder: str | Path,
        *,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: str | bool | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        **options: Any,
    ) -> "TRevSNN":
        """The network that `save_pretrained` wrote to a folder, or `push_to_hub` to the hub, in eval mode.

        Args:
            name_or_folder: the folder, or USER/NAME on the hub.
            revision: branch, tag or commit on the hub.
            cache_dir: folder for what is downloaded, by default that of huggingface_hub.
            token: for networks on the hub that are not public; True for the one saved on this machine.
            force_download: download what was downloaded before, too.
            local_files_only: download nothing.
            **options: other options than the saved ones; with another num_classes, the classifiers are new.

        Raises:
            ValueError: when the folder holds no such network.
        """
        from trevsnn.models.presets import create_model

        if Path(name_or_folder).exists():
            file = weights_file(name_or_folder)
        else:
            file = hf_hub_download(
                str(name_or_folder),
                WEIGHTS_FILE,
                revision=revision,
                cache_dir=cache_dir,
                token=token,
                force_download=force_download,
                local_files_only=local_files_only,
            )
        model = create_model(read_weights_info(file).model, checkpoint=file, **options)
        return require_trevsnn(model, "from_pretrained").eval()

    def check_frame(self, frame: Tensor) -> None:
        """Refuse a frame (N, in_chans, H, W) that does not fit.

        Raises:
            ValueError: naming its shape.
        """
        self.check_input(frame.expand(self.config.timesteps, *frame.shape))

    def _run(self, x: Tensor, readout=None) -> list[Tensor]:
        self.check_input(x)
        if self.config.frames:
            return self.grid(frames=x, readout=readout)
        x = run_once([self.stem], x, self.grid.memory, self.grid.check_replay, "the stem")
        if self.config.input_encoding == "grouped":
            return self.grid(frames=x.chunk(self.config.timesteps, dim=1), readout=readout)
        return self.grid(constant=x, readout=readout)

    def _read_heads(self, state: StepState) -> Tensor | None:
        if state.t not in self.config.head_steps:
            return None
        last = state.t == self.config.timesteps - 1
        return _spatial_mean(state.spikes() if last else state.membranes[-1])

    def check_input(self, x: Tensor) -> None:
        """Refuse an input of `forward` that does not fit.

        Raises:
            ValueError: naming its shape.
        """
        super().check_input(x)
        smallest = STRIDE * math.prod(self.config.strides)
        for level, stride in enumerate(accumulate(self.config.strides, mul)):
            if min(x.shape[-2:]) < STRIDE * stride:
                raise ValueError(
                    f"input of {x.shape[-2]} x {x.shape[-1]} pixels is too small: the map of level {level} would "
                    f"shrink below one pixel; use at least {smallest} x {smallest}"
                )


def _firing_rates(state: StepState) -> Tensor:
    return _spatial_mean(state.spikes())


def _spatial_mean(x: Tensor) -> Tensor:
    return x.mean((2, 3), keepdim=True)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
