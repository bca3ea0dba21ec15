"""What training minimises."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss

from trevsnn.training.config import TrainConfig


def intermediate_supervision_loss(
    outputs: Tensor | Sequence[Tensor], target: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy of every head, later ones weighing more and the deployed one counted once more.

        sum_{i=1..n} i/n * CE_i + CE_n

    Args:
        outputs: logits (N, num_classes) of n heads, the deployed one last; a tensor alone is one head.
        target: (N,), class indices.
        label_smoothing: 0 to 1.

    Raises:
        ValueError: when there is no head.

    Source: Hu et al., ICML 2024, as their public code computes it.
    """
    heads = _list(outputs)
    losses = [cross_entropy(logits, target, label_smoothing=label_smoothing) for logits in heads]
    weighted = [loss * (i / len(losses)) for i, loss in enumerate(losses, start=1)]
    return sum(weighted, start=losses[-1])


def temporal_efficient_training_loss(
    outputs: Tensor | Sequence[Tensor],
    target: Tensor,
    label_smoothing: float = 0.0,
    regularisation: float = 0.05,
    level: float = 1.0,
) -> Tensor:
    """Every step classifies by itself (TET), and no logit strays far from a level.

        mean over t of  (1 - lambda) * CE(o_t) + lambda * mean squared (o_t - phi)

    Args:
        outputs: logits (N, num_classes) of every step; a tensor alone is one step.
        target: (N,), class indices.
        label_smoothing: 0 to 1.
        regularisation: lambda, 0 to 1.
        level: phi.

    Raises:
        ValueError: when there is no step, or lambda is out of range.

    Source: Deng et al., Temporal Efficient Training of Spiking Neural Network via Gradient Re-weighting, ICLR 2022.
    """
    if not 0 <= regularisation <= 1:
        raise ValueError(f"regularisation={regularisation!r} must be from 0 to 1")
    steps = _list(outputs)
    classify = sum(cross_entropy(logits, target, label_smoothing=label_smoothing) for logits in steps)
    stray = sum(mse_loss(logits, torch.full_like(logits, level)) for logits in steps)
    return ((1 - regularisation) * classify + regularisation * stray) / len(steps)  # type: ignore[return-value]


def training_loss(config: TrainConfig, outputs: Tensor | list[Tensor], targets: Tensor) -> Tensor:
    """The loss of a configuration, of what a network in training returns."""
    if config.loss == "tet":
        return temporal_efficient_training_loss(outputs, targets, config.label_smoothing, config.tet_regularisation)
    return intermediate_supervision_loss(outputs, targets, config.label_smoothing)


def _list(outputs: Tensor | Sequence[Tensor]) -> list[Tensor]:
    logits = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    if not logits:
        raise ValueError("outputs=[] holds no logits; give one (N, num_classes) tensor per head")
    return logits
