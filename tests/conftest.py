import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def deterministic_kernels():
    """Deterministic kernels, uninitialised memory filled with NaN, and one thread (the tensors are tiny)."""
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
