"""Ctrl-C, SIGTERM and SIGHUP end a run after the step that it is in, so that its state can be saved; or, where it waits
for data meanwhile, before that step."""

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from trevsnn.training.errors import StoppedError

Item = TypeVar("Item")

_TIMER = hasattr(signal, "setitimer")
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_PATIENCE = 5.0
"""Seconds for which data are waited for after a signal, so that all processes may end after the same step."""


class StopRequest:
    """Whether a signal has asked to stop."""

    signal_number: int | None = None
    """Which one; None so far."""
    _waiting = False

    def __call__(self, number: int, _: FrameType | None) -> None:
        """Take note of a signal; a second Ctrl-C does not wait.

        Raises:
            StoppedError: when the run still waits for data some seconds after a signal.
        """
        if number == signal.SIGINT and self.signal_number is not None:
            raise KeyboardInterrupt
        if number in SIGNALS:
            self.signal_number = number
        if self._waiting:
            self._wait(over=number not in SIGNALS)

    def interruptible(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items, such as batches, waiting for each of which a signal ends.

        Raises:
            StoppedError: when a signal came.
        """
        iterator = iter(items)
        while True:
            self._waiting = True
            try:
                if self.signal_number is not None:
                    self._wait(over=not _TIMER)
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self._waiting = False
                if self.signal_number is not None and _TIMER:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            yield item

    def _wait(self, over: bool) -> None:
        """A while longer, unless that is over."""
        if self.signal_number is None:
            return
        if over or not _TIMER:
            raise StoppedError(self.signal_number)
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE)


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Within the block, signals only leave a request. Outside the main thread, they are left alone."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    numbers = [*SIGNALS, signal.SIGALRM] if _TIMER else SIGNALS
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:  # as a shell has it for work in the background
            signal.signal(number, request)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
