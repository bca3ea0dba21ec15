"""Peak memory of a call, in bytes, counted allocation by allocation.

PyTorch's profiler records every allocation and release of the CPU allocator with its size. Added up in
order of time they give the live bytes, temporaries inside operators included; their maximum is the
figure. It depends on the shapes only, not on the machine's load, and repeats from run to run.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import torch
from torch._C._profiler import _EventType, _ProfilerEvent
from torch.profiler import ProfilerActivity, profile

_LOG_LEVEL, _NOTHING = "KINETO_LOG_LEVEL", "6"


def peak_bytes(fn: Callable[[], Any], device: torch.device | None = None) -> int:
    """Highest number of bytes that `fn()` holds at one moment, over what was live before the call.

    Args:
        device: a CUDA device, where PyTorch's allocator keeps count (`fn` runs once more before, to warm up); the CPU
            by default.

    Examples:
        >>> import torch
        >>> peak_bytes(lambda: torch.empty(1024, dtype=torch.uint8))
        1024
    """
    if device is not None and device.type == "cuda":
        fn()
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        fn()
        return torch.cuda.max_memory_allocated(device) - before
    with _quiet_profiler(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        fn()
    results = profiler.profiler and profiler.profiler.kineto_results
    assert results, "the profile has just been taken"
    roots = results.experimental_event_tree()
    changes = sorted(_allocations(roots), key=lambda change: change[0])
    return max(accumulate((size for _, size in changes), initial=0))


@contextmanager
def _quiet_profiler() -> Iterator[None]:
    """Without what the profiler's tracer, Kineto, notes on standard error: start, stop, and that there is no GPU.

    It asks the environment once, when it first runs. A level that the user has set holds, and Python's errors and
    warnings stay what they are.
    """
    if _LOG_LEVEL in os.environ:
        yield
        return
    os.environ[_LOG_LEVEL] = _NOTHING
    try:
        yield
    finally:
        os.environ.pop(_LOG_LEVEL, None)


def _allocations(roots: list[_ProfilerEvent]) -> Iterator[tuple[int, int]]:
    """(time in ns, bytes) of every allocation among the events, negative bytes for a release."""
    waiting = list(roots)
    while waiting:
        event = waiting.pop()
        waiting += event.children
        if event.tag == _EventType.Allocation:
            yield event.start_time_ns, event.extra_fields.alloc_size  # type: ignore[union-attr]
