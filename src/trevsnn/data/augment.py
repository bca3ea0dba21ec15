"""Light geometric augmentation: one random affine map per image."""

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample


def random_affine(
    images: Tensor,
    draws: Tensor,
    *,
    rotation: float = 10.0,
    shift: float = 0.08,
    scale: float = 0.1,
) -> Tensor:
    """Rotate, shift and scale every image by its own draws; what enters at the border repeats the border.

    Args:
        images: (N, C, H, W).
        draws: (N, 4), uniform in -1 to 1: rotation, horizontal shift, vertical shift, scale.
        rotation: largest angle (degrees).
        shift: largest shift, as a share of the side.
        scale: largest relative change of size.
    """
    angle = draws[:, 0] * math.radians(rotation)
    size = 1 + draws[:, 3] * scale
    cos, sin = angle.cos() / size, angle.sin() / size
    # affine_grid's coordinates run from -1 to 1, so the side is 2 long
    across, down = draws[:, 1] * 2 * shift, draws[:, 2] * 2 * shift
    theta = torch.stack([torch.stack([cos, -sin, across], 1), torch.stack([sin, cos, down], 1)], 1).to(images)
    grid = affine_grid(theta, list(images.shape), align_corners=False)
    return grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
