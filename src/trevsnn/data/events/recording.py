"""What an event camera recorded: when, where and in which direction the brightness changed."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

BLOCK = 2**16
"""Events that are looked at together, where looking at all at once would take much memory."""


@dataclass(frozen=True, eq=False)
class Events:
    """Events in the order of their time.

    Raises:
        ValueError: when the columns do not belong together, hold something else than integers that fit, or the
            time goes backwards.
    """

    t: np.ndarray
    """(N,), int64, microseconds."""
    x: np.ndarray
    """(N,), int16, pixels from the left."""
    y: np.ndarray
    """(N,), int16, pixels from the top."""
    p: np.ndarray
    """(N,), uint8, polarity: 1 brighter (ON), 0 darker (OFF)."""

    def __post_init__(self) -> None:
        for column, kind in zip(fields(self), (np.int64, np.int16, np.int16, np.uint8), strict=True):
            values = np.asarray(getattr(self, column.name))
            if values.shape != np.shape(self.t)[:1]:
                raise ValueError(
                    f"{column.name} of shape {values.shape} must hold a value for each of {np.size(self.t)} events"
                )
            object.__setattr__(self, column.name, _whole(column.name, values, kind))
        i = first_step_back(self.t)
        if i is not None:
            raise ValueError(
                f"time goes backwards after event {i}, from {self.t[i]} to {self.t[i + 1]} microseconds; to put the "
                "events in order, train with --sort-events, or read them by Reading(sort_events=True)"
            )

    def __len__(self) -> int:
        return len(self.t)

    def __getitem__(self, part: slice | np.ndarray) -> "Events":
        """Some of the events: a slice, or (N,) which."""
        return Events(self.t[part], self.x[part], self.y[part], self.p[part])

    def between(self, start: int, stop: int) -> "Events":
        """Those from a time to another one (exclusive, microseconds)."""
        first, last = np.searchsorted(self.t, [start, stop])
        return self[int(first) : int(last)]

    def windows(self, duration: int | None = None, *, number: int | None = None) -> Iterator["Events"]:
        """Part after part, of the same duration or of the same number of events.

        Args:
            duration: microseconds, from the first event on; some parts may be empty.
            number: events; the last part may have fewer.

        Raises:
            ValueError: unless one of the two is given, an integer from 1.
        """
        if (duration is None) == (number is None):
            raise ValueError(f"duration={duration!r}, number={number!r}: give one of the two")
        for name, value in (("duration", duration), ("number", number)):
            if value is not None and value < 1:
                raise ValueError(f"{name}={value!r} must be at least 1{' microsecond' * (name == 'duration')}")
        if number is not None:
            for first in range(0, len(self), number):
                yield self[first : first + number]
        elif duration is not None and len(self):
            for start in range(int(self.t[0]), int(self.t[-1]) + 1, duration):
                yield self.between(start, start + duration)

    def columns(self) -> Iterator[np.ndarray]:
        """t, x, y and p."""
        return (getattr(self, column.name) for column in fields(self))


def first_step_back(t: np.ndarray) -> int | None:
    """The first event (N,) after which the time goes backwards."""
    (backwards,) = np.nonzero(t[1:] < t[:-1])
    return int(backwards[0]) if len(backwards) else None


def blocks(values: np.ndarray) -> Iterator[np.ndarray]:
    """Part after part, each of a size that computing with it takes little memory."""
    return (values[start : start + BLOCK] for start in range(0, len(values), BLOCK))


def are_whole(values: np.ndarray) -> bool:
    """Whether numbers are whole ones, and finite."""
    if values.dtype.kind in "iub":
        return True
    with np.errstate(invalid="ignore"):
        return all(bool(((part == np.rint(part)) & np.isfinite(part)).all()) for part in blocks(values))


def _whole(name: str, values: np.ndarray, kind: type[np.integer]) -> np.ndarray:
    """As integers of this kind."""
    if values.dtype.kind not in "iubf" or not are_whole(values):
        raise ValueError(f"{name} of type {values.dtype} must hold integers, t microseconds")
    if len(values):
        lowest = int(values.min())
        highest = int(values.max())
        limits = np.iinfo(kind)
        if lowest < limits.min or highest > limits.max:
            raise ValueError(f"{name} from {lowest} to {highest} does not fit {limits.min} to {limits.max}")
    return values.astype(kind, copy=False)
