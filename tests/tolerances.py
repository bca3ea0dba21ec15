"""How far two results may lie apart that are not compared bit for bit: one row per reason.

A bound is of the norm of the difference over the norm of what is expected. Figures of papers are compared to their last
digit, and bytes with what is counted, where they stand.
"""

import torch
from torch import Tensor

TOLERANCES = {
    # reversible against stored: the gradient of a decay is summed in another order
    "decay": {torch.float32: 1e-5, torch.float64: 1e-13},
    # against the equations written out, in float64
    "reference": {torch.float32: 1e-5, torch.float64: 1e-13},
    # the same for decays per step, whose potentials are reconstructed: at most MAX_ERROR roundings
    "reconstructed": {torch.float64: 1e-11},
    # the same sums in another order: another layout, another kernel, a clip frame by frame
    "order": {torch.float32: 1e-6, torch.float64: 1e-12},
    # the same through several steps of which each sums in another order
    "orders": {torch.float32: 1e-5, torch.float64: 1e-9},
    # two processes against one: gradients of a step in float64, weights after two epochs in float32
    "processes": {torch.float32: 1e-5, torch.float64: 1e-12},
    # normalisations that are folded into weights, which round to others
    "folded": {torch.float32: 1e-4, torch.float64: 1e-12},
    # another runtime: ONNX Runtime, torch.export, NIR
    "exported": {torch.float32: 1e-4},
    # what the public code recorded in float32
    "recorded": {torch.float32: 1e-5, torch.float64: 1e-5},
    "recorded gradients": {torch.float64: 1e-4},
}


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Norm of the difference over the norm of what is expected; 0 where both are 0."""
    error, norm = (actual.double() - expected.double()).norm().item(), expected.double().norm().item()
    return error / norm if norm else error


def assert_close(actual: Tensor, expected: Tensor, row: str, what: str = "") -> None:
    """The relative error is within the bound of a row for the dtype of what was computed."""
    assert actual.shape == expected.shape, f"{what}: {tuple(actual.shape)} and {tuple(expected.shape)}"
    error, bound = relative_error(actual, expected), TOLERANCES[row][actual.dtype]
    assert error <= bound, f"{what}: relative error {error:.1e} > {bound:.0e}"
