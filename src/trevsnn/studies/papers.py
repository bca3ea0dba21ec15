"""What papers report of the methods that `trevsnn compare` measures: ImageNet, 224 x 224, T = 4 unless said.

Sources: Hu et al., "High-Performance Temporal Reversible Spiking Neural Networks with O(L) Training Memory and O(1)
Inference Cost", ICML 2024, on A100 GPUs in fp16: T-RevSNN, its ratios to the Spike-driven Transformer, and MS-ResNet-34
without and with temporal reversibility. Yao et al., "Spike-driven Transformer", NeurIPS 2023: energy of the
transformer. Zhou et al., "Spikformer", ICLR 2023: energy and accuracy of SEW-ResNet-34. The energy that is known of
MS-ResNet-34 is that of T = 6, and left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

TIMESTEPS = 4
INPUT_SIZE = (3, 224, 224)
REFERENCE = "trevsnn_small"
FIRING_RATE = 0.084
"""That makes the published 2.8 mJ of it."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """Of one method; None where nothing is reported."""

    parameters: float
    """Of inference."""
    accuracy: float | None = None
    """Top-1, 0 to 1."""
    bytes_per_image: float | None = None
    """Peak memory of training: that of a whole GPU, weights, gradients and optimizer included, divided by its batch."""
    seconds: float | None = None
    """Of one epoch of training."""
    energy: float | None = None
    """Of the inference of one image (pJ)."""
    to_reference: Mapping[str, float] = field(default_factory=dict)
    """By attribute, what is reported only as a multiple of `REFERENCE`'s."""


_MS_RESNET = Published(parameters=21.8e6, bytes_per_image=267e6, seconds=11.2 * 60)
_SEW_RESNET = Published(parameters=21.79e6, accuracy=0.6704, energy=4.04e9)

PUBLISHED: dict[str, Published] = {
    "trevsnn_tiny": Published(parameters=15.2e6, accuracy=0.698, bytes_per_image=57.5e6),
    "trevsnn_small": Published(parameters=29.8e6, accuracy=0.732, bytes_per_image=85.7e6, energy=2.8e9),
    "ms_resnet34": _MS_RESNET,
    "trev_ms_resnet34": replace(_MS_RESNET, bytes_per_image=88e6, seconds=7.4 * 60),
    "sdt_8_512": Published(
        parameters=29.7e6,
        accuracy=0.746,
        energy=4.50e9,
        to_reference={"bytes_per_image": 8.6, "seconds": 2.0, "energy": 1.6},
    ),
    "sew_resnet34": _SEW_RESNET,
    "sew_resnet34-memopt": _SEW_RESNET,
}
"""By method."""


def published_ratio(quantity: str, method: str, reference: str) -> float | None:
    """A method's reported `bytes_per_image`, `seconds` or `energy`, divided by that of the reference.

    Examples:
        >>> published_ratio("bytes_per_image", "sdt_8_512", "trevsnn_small")
        8.6
        >>> round(published_ratio("bytes_per_image", "ms_resnet34", "trev_ms_resnet34"), 2)
        3.03
    """
    if method not in PUBLISHED or reference not in PUBLISHED:
        return None
    if reference == REFERENCE and quantity in PUBLISHED[method].to_reference:
        return PUBLISHED[method].to_reference[quantity]
    ours, theirs = (getattr(PUBLISHED[name], quantity) for name in (method, reference))
    return None if ours is None or theirs is None else ours / theirs
