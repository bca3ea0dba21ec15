"""What an event camera recorded: when, where and in which direction the brightness changed."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True, eq=False)
class Events:
    """Events in the order of their time.

    Raises:
        ValueError: when the columns do not belong together, hold something else than whole numbers that fit, or the
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
            if values.shape != (len(self.t),):
                raise ValueError(
                    f"{column.name} of shape {values.shape} must hold a value for each of {len(self.t)} events"
                )
            object.__setattr__(self, column.name, _whole(column.name, values, kind))
        (backwards,) = np.nonzero(self.t[1:] < self.t[:-1])
        if len(backwards):
            i = int(backwards[0])
            raise ValueError(f"time goes backwards after event {i}, from {self.t[i]} to {self.t[i + 1]} microseconds")

    def __len__(self) -> int:
        return len(self.t)

    def __getitem__(self, part: slice | np.ndarray) -> "Events":
        """Some of the events: a slice, or (N,) which."""
        return Events(self.t[part], self.x[part], self.y[part], self.p[part])

    def between(self, start: int, stop: int) -> "Events":
        """Those from a time to another one (exclusive, microseconds)."""
        first, last = np.searchsorted(self.t, [start, stop])
        return self[int(first) : int(last)]

    def windows(self, duration: int) -> Iterator["Events"]:
        """Part after part of the same duration (microseconds), from the first event on; some may be empty.

        Raises:
            ValueError: for a duration of less than a microsecond.
        """
        if duration < 1:
            raise ValueError(f"duration={duration!r} must be at least 1 microsecond")
        if len(self):
            for start in range(int(self.t[0]), int(self.t[-1]) + 1, duration):
                yield self.between(start, start + duration)

    def columns(self) -> Iterator[np.ndarray]:
        """t, x, y and p."""
        return (getattr(self, column.name) for column in fields(self))


def _whole(name: str, values: np.ndarray, kind: type[np.integer]) -> np.ndarray:
    """As integers of this kind."""
    if not len(values):
        return values.astype(kind)
    if values.dtype.kind not in "iub" and not (values.dtype.kind == "f" and (values == np.rint(values)).all()):
        raise ValueError(f"{name} of type {values.dtype} must hold whole numbers, t microseconds")
    limits = np.iinfo(kind)
    if values.min() < limits.min or values.max() > limits.max:
        raise ValueError(f"{name} from {values.min()} to {values.max()} does not fit {limits.min} to {limits.max}")
    return values.astype(kind, copy=False)
