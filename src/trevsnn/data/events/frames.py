"""Events gathered into frames: how many of each polarity fell on each pixel in each part of the recording."""

import math

import numpy as np

from trevsnn.choices import SplitBy
from trevsnn.data.events.recording import Events


def frame_edges(events: Events, frames: int, split_by: SplitBy) -> np.ndarray:
    """Where each frame begins, and where the last one ends, as indices of events: (frames + 1,).

    Args:
        events: of one recording.
        frames: T.
        split_by: "number" for parts of the same number of events, the rest in the last; "time" for parts of the same
            duration.

    Raises:
        ValueError: for fewer than one frame, fewer events than frames, a frame without events, or another way to split.
    """
    if frames < 1:
        raise ValueError(f"frames={frames!r} must be at least 1")
    if len(events) < frames:
        raise ValueError(f"{len(events)} events are too few for {frames} frames")
    if split_by == "number":
        edges = np.arange(frames + 1) * (len(events) // frames)
    elif split_by == "time":
        start, stop = events.t[0], events.t[-1]
        edges = np.searchsorted(events.t, start + (stop - start) * np.arange(frames + 1) / frames)
    else:
        raise ValueError(f"split_by={split_by!r} must be one of number, time")
    edges[-1] = len(events)
    if (edges[1:] == edges[:-1]).any():
        empty = int(np.argmax(edges[1:] == edges[:-1]))
        raise ValueError(f"frame {empty} of {frames} is without events: take fewer, or of the same number of events")
    return edges


def to_frames(events: Events, frames: int, size: tuple[int, int], split_by: SplitBy = "number") -> np.ndarray:
    """(T, 2, H, W) counts, uint16: first the events of polarity 0, then those of 1.

    Args:
        events: of one recording.
        frames: T.
        size: H and W of the sensor (pixels).
        split_by: see `frame_edges`.

    Raises:
        ValueError: as `frame_edges`, and for events beyond the sensor.
    """
    edges = frame_edges(events, frames, split_by)
    return count_events(events, np.repeat(np.arange(frames), np.diff(edges)), frames, size)


def count_events(events: Events, frame: np.ndarray, frames: int, size: tuple[int, int]) -> np.ndarray:
    """As `to_frames`, where the frame of each event is known, (N,)."""
    check_on_sensor(events, size)
    shape = (frames, 2, *size)
    place = np.ravel_multi_index((frame, events.p, events.y, events.x), shape)
    counts = np.bincount(place, minlength=math.prod(shape))
    return np.minimum(counts, np.iinfo(np.uint16).max).astype(np.uint16).reshape(shape)


def check_on_sensor(events: Events, size: tuple[int, int]) -> None:
    """Refuse events beyond the sensor of this height and width (pixels), or of a polarity that there is not.

    Raises:
        ValueError: naming the first column that does not fit.
    """
    height, width = size
    for name, values, limit in (("x", events.x, width), ("y", events.y, height), ("p", events.p, 2)):
        if len(events) and not (values.min() >= 0 and values.max() < limit):
            raise ValueError(
                f"events with {name} from {values.min()} to {values.max()} do not fit a sensor of {height} x {width} "
                "pixels (height x width) and two polarities"
            )
