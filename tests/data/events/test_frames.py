import numpy as np
import pytest

from trevsnn.data.events.frames import frame_edges, to_frames
from trevsnn.data.events.recording import Events


@pytest.fixture
def events():
    """Ten events on 3 x 4 pixels, most of them late."""
    t = np.array([0, 10, 50, 60, 70, 80, 90, 92, 96, 100])
    return Events(t, np.arange(10) % 4, np.arange(10) % 3, np.arange(10) % 2)


def test_parts_of_the_same_number(events):
    assert frame_edges(events, 3, "number").tolist() == [0, 3, 6, 10]
    assert frame_edges(events[:5], 4, "number").tolist() == [0, 1, 2, 3, 5]


def test_parts_of_the_same_duration(events):
    assert frame_edges(events, 3, "time").tolist() == [0, 2, 4, 10]


@pytest.mark.parametrize("split_by", ["number", "time"])
@pytest.mark.parametrize("frames", [1, 2, 3])
def test_every_event_is_counted_once_where_it_belongs(events, split_by, frames):
    counts = to_frames(events, frames, (3, 4), split_by)
    assert counts.shape == (frames, 2, 3, 4)
    expected = np.zeros((2, 3, 4))
    for x, y, p in zip(events.x, events.y, events.p, strict=True):
        expected[p, y, x] += 1
    assert np.array_equal(counts.sum(0), expected)
    edges = frame_edges(events, frames, split_by)
    assert counts.sum((1, 2, 3)).tolist() == np.diff(edges).tolist()


def test_what_does_not_fit_is_refused(events):
    with pytest.raises(ValueError, match="events with x from 0 to 3 do not fit a sensor of 3 x 3 pixels"):
        to_frames(events, 2, (3, 3))
    with pytest.raises(ValueError, match="10 events are too few for 11 frames"):
        to_frames(events, 11, (3, 4))
    with pytest.raises(ValueError, match="frame 1 of 4 is without events"):
        to_frames(events, 4, (3, 4), "time")
    with pytest.raises(ValueError, match="0 events are too few for 2 frames"):
        to_frames(events[:0], 2, (3, 4), "time")
    with pytest.raises(ValueError, match="frames=0 must be at least 1"):
        to_frames(events, 0, (3, 4))
    with pytest.raises(ValueError, match="split_by='energy' must be one of number, time"):
        to_frames(events, 2, (3, 4), "energy")


def test_columns_belong_together():
    with pytest.raises(ValueError, match=r"x of shape \(2,\) must hold a value for each of 3 events"):
        Events(np.arange(3), np.arange(2), np.arange(3), np.arange(3))


@pytest.mark.parametrize(
    ("t", "x", "message"),
    [
        ([5, 3], [0, 0], "time goes backwards after event 0, from 5 to 3"),
        ([0.0, 0.2], [0, 0], "t of type float64 must hold integers, t microseconds"),
        ([0, 1], [0, 70_000], "x from 0 to 70000 does not fit -32768 to 32767"),
    ],
)
def test_columns_hold_what_they_should(t, x, message):
    with pytest.raises(ValueError, match=message):
        Events(np.array(t), np.array(x), np.array([0, 0]), np.array([0, 1]))


def test_windows(events):
    parts = [part.t.tolist() for part in events.windows(40)]
    assert parts == [[0, 10], [50, 60, 70], [80, 90, 92, 96, 100]]
    assert [len(part) for part in events.windows(9)][:3] == [1, 1, 0]
    assert list(events[:0].windows(5)) == []
    with pytest.raises(ValueError, match="duration=0 must be at least 1"):
        next(events.windows(0))


def test_part_of_the_time(events):
    assert events.between(10, 90).t.tolist() == [10, 50, 60, 70, 80]
