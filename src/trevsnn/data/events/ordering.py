"""From events as a file has them to a recording: a counter of 32 bits that began anew, and sorting."""

import numpy as np

from trevsnn.data.events.reading import Reading
from trevsnn.data.events.recording import Events, first_step_back

_COUNTERS = ((0, 2**31), (0, 2**32), (-(2**31), 2**31))
"""Where the counters of cameras begin and end (microseconds): of 31 and of 32 bits, and of 32 bits read as signed."""
_NEAR = 2**26
"""Microseconds: the last event before a counter began anew, and the first one after it, are as near as this."""


class Columns:
    """Events that are read part by part, in the types in which they are kept.

    Args:
        most: events that there may be.
    """

    def __init__(self, most: int):
        self.columns = tuple(np.empty(most, kind) for kind in (np.int64, np.int16, np.int16, np.uint8))
        self.count = 0

    def add(self, t: np.ndarray, x: np.ndarray, y: np.ndarray, p: np.ndarray) -> None:
        """The next part, (n,) each."""
        stop = self.count + len(t)
        for column, values in zip(self.columns, (t, x, y, p), strict=True):
            column[self.count : stop] = values
        self.count = stop

    def events(self, reading: Reading) -> Events:
        """All of them.

        Raises:
            ValueError: as `in_order`.
        """
        t, x, y, p = (column[: self.count] for column in self.columns)
        return in_order(t, x, y, p, reading)


def in_order(t: np.ndarray, x: np.ndarray, y: np.ndarray, p: np.ndarray, reading: Reading) -> Events:
    """A recording from its columns, (N,) each.

    Args:
        t: microseconds. Where it falls once, from the end of a counter of 32 bits to its beginning, it goes on.
        x, y, p: see `Events`.
        reading: may say that they are sorted.

    Raises:
        ValueError: as `Events`.
    """
    if t.dtype.kind in "iu" and t.ndim == 1 and first_step_back(t) is not None:
        t = _unwrapped(t)
        if reading.sort_events and x.shape == y.shape == p.shape == t.shape:
            order = np.argsort(t, kind="stable")
            t, x, y, p = (column[order] for column in (t, x, y, p))
    return Events(t, x, y, p)


def _unwrapped(t: np.ndarray) -> np.ndarray:
    """Without the fall of a counter of 32 bits, if there is one and no second; events near it may be out of order."""
    lowest = int(t.min())
    highest = int(t.max())
    times = t.astype(np.int64, copy=False)
    for start, stop in _COUNTERS:
        if not (start <= lowest < start + _NEAR and stop - _NEAR <= highest < stop):
            continue
        steps, far = np.diff(times), stop - start - 2 * _NEAR
        falls, rises = np.flatnonzero(steps < -far), np.flatnonzero(steps > far)
        if len(falls) == len(rises) + 1:
            shift = np.zeros(len(times), np.int64)
            shift[falls + 1], shift[rises + 1] = stop - start, start - stop
            return times + np.cumsum(shift, out=shift)
    return times
