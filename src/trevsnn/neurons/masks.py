"""The two facts about a membrane potential, as 0 or 1 in its own dtype.

In its own dtype, because comparisons that answer in bool are several times slower on a CPU.
"""

import torch
from torch import Tensor

THRESHOLD = 0.5
WINDOW = (0.0, 1.0)


def fires(v: Tensor) -> Tensor:
    """Where the membrane potential reaches the threshold; NaN does not."""
    v = v.detach()
    return torch.ge(v, THRESHOLD, out=torch.empty_like(v))


def in_window(v: Tensor) -> Tensor:
    """Where the surrogate gradient is 1; not at NaN."""
    v = v.detach()
    return v.clamp(*WINDOW).eq_(v)
