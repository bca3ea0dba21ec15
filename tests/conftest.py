import gc
import signal

import pytest
import torch
from helpers import digits_of

from trevsnn.data import LabelledData


@pytest.fixture(autouse=True, scope="session")
def deterministic_kernels():
    """Deterministic kernels, uninitialised memory filled with NaN, and one thread (the tensors are tiny)."""
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    gc.freeze()  # what was imported stays, and need not be looked through again and again


@pytest.fixture(autouse=True, scope="session")
def signals_are_not_ignored():
    """As they are below nohup, or in the background of a shell."""
    for number in (getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


@pytest.fixture(scope="session")
def few_digits() -> LabelledData:
    """48 images to train on, 60 to test."""
    return digits_of(48, 60)
