"""Precision of a training step."""

from contextlib import AbstractContextManager, nullcontext

import torch

from trevsnn.choices import Precision

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager:
    """Within it, a network computes in this precision; membrane potentials stay in fp32."""
    return nullcontext() if precision == "fp32" else torch.autocast(device.type, _DTYPES[precision])
