"""What an event camera recorded: when, where and in which direction the brightness changed."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True, eq=False)
class Events:
    """Events in the order of their time.

    Raises:
        ValueError: when the columns do not belong together.
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
            object.__setattr__(self, column.name, values.astype(kind, copy=False))
        if len(self.t) and (np.diff(self.t) < 0).any():
            order = np.argsort(self.t, kind="stable")
            for column in fields(self):
                object.__setattr__(self, column.name, getattr(self, column.name)[order])

    def __len__(self) -> int:
        return len(self.t)

    def __getitem__(self, part: slice | np.ndarray) -> "Events":
        """Some of the events: a slice, or (N,) which."""
        return Events(self.t[part], self.x[part], self.y[part], self.p[part])

    def between(self, start: int, stop: int) -> "Events":
        """Those from a time to another one (exclusive, microseconds)."""
        first, last = np.searchsorted(self.t, [start, stop])
        return self[int(first) : int(last)]

    def columns(self) -> Iterator[np.ndarray]:
        """t, x, y and p."""
        return (getattr(self, column.name) for column in fields(self))
