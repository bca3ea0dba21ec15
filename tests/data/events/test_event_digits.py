import numpy as np
import pytest

from trevsnn.data import PixelSamples, load_dataset
from trevsnn.data.events.digits import DURATION, SIZE, record_digits
from trevsnn.data.events.frames import to_frames


@pytest.fixture(scope="module")
def samples():
    test = load_dataset("digits").test
    return PixelSamples(test.pixels[:20], test.labels[:20])


@pytest.fixture(scope="module")
def recordings(samples):
    return record_digits(samples)


def test_recordings_are_events_on_the_sensor(recordings):
    assert len(recordings) == 20
    for events in recordings:
        assert 500 < len(events) < 20_000
        assert events.t[0] >= 0
        assert events.t[-1] <= DURATION
        assert (np.diff(events.t) >= 0).all()
        assert 0.3 < events.p.mean() < 0.7
        assert to_frames(events, 8, SIZE).sum() == len(events)


def test_events_are_at_the_edges_of_the_digit(samples, recordings):
    for index, events in enumerate(recordings):
        counts = to_frames(events, 1, SIZE).sum((0, 1))
        ink = np.kron(samples.pixels[index] > 0, np.ones((3, 3)))
        near = np.pad(ink, 5).astype(bool)
        for axis in (0, 1):  # the digit moves by three pixels
            near = np.logical_or.reduce([np.roll(near, step, axis) for step in range(-4, 5)])
        assert counts[near].sum() > 0.9 * len(events)


def test_recordings_are_the_same_every_time(samples, recordings):
    again = record_digits(samples)
    assert all(np.array_equal(a.t, b.t) and np.array_equal(a.x, b.x) for a, b in zip(recordings, again, strict=True))
    other = record_digits(samples, seed=1)
    assert not np.array_equal(recordings[0].t, other[0].t)


def test_the_order_of_the_frames_tells_the_direction(recordings):
    """Events of the first third of the time are those of another movement than those of the last."""
    first, last = (
        np.mean([to_frames(events, 3, SIZE, "time")[part] for events in recordings], axis=0) for part in (0, 2)
    )
    assert np.corrcoef(first.ravel(), last.ravel())[0, 1] < 0.9
