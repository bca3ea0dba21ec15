import pytest
import torch


@pytest.fixture(autouse=True)
def deterministic_kernels():
    """Deterministic kernels, uninitialised memory filled with NaN, and one thread (the tensors are tiny)."""
    threads = torch.get_num_threads()
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)
