"""Ctrl-C and SIGTERM end a run after the step that it is in, so that its state can be saved."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StoppedError(Exception):
    """A signal asked the run to stop, and its state was saved."""

    def __init__(self, signal_number: int):
        super().__init__(signal_number)
        self.signal_number = signal_number


class StopRequest:
    """Whether a signal has asked to stop."""

    signal_number: int | None = None
    """Which one; None so far."""

    def __call__(self, number: int, _: FrameType | None) -> None:
        """Take note of a signal; a second Ctrl-C does not wait."""
        if number == signal.SIGINT and self.signal_number is not None:
            raise KeyboardInterrupt
        self.signal_number = number


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Within the block, Ctrl-C and SIGTERM only leave a request. Outside the main thread, signals are left alone."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:  # as a shell has it for work in the background
            signal.signal(number, request)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
