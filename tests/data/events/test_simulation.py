import numpy as np
import pytest

from trevsnn.data.events.simulation import Camera, record

EXACT = Camera(threshold=0.2, threshold_spread=0.0, refractory=0.0, noise_rate=0.0, dark=0.1)


def ramp(final):
    """Brightness of one pixel within a second; its logarithm, with eps, changes linearly."""

    def brightness(time):
        share = time / 1e6
        return np.array([[[0.2 * (final / 0.2) ** share - 0.1]]])

    return brightness


@pytest.mark.parametrize(("final", "polarity"), [(1.0, 1), (0.11, 0)])
def test_events_come_when_the_logarithm_has_changed_by_the_threshold(final, polarity):
    (events,) = record(ramp(final), 1e6, EXACT, np.random.default_rng(0))
    change = abs(np.log(final / 0.2))
    expected = np.arange(1, int(change / 0.2) + 1) * 0.2 / change * 1e6
    assert len(events) == len(expected)
    np.testing.assert_allclose(events.t, expected, atol=1)
    assert (events.p == polarity).all()


def test_a_jump_gives_several_events_at_once_and_a_blind_pixel_none():
    def jump(time):
        return np.array([[[0.1 if time < 5_000 else 0.9, 0.5]]])

    (events,) = record(jump, 1e4, EXACT, np.random.default_rng(0))
    assert (events.x == 0).all()
    assert len(events) == int(np.log(1.0 / 0.2) / 0.2)
    blind = Camera(threshold=0.2, threshold_spread=0.0, refractory=1e6, noise_rate=0.0, dark=0.1)
    assert len(record(jump, 1e4, blind, np.random.default_rng(0))[0]) == 1


def test_noise_has_its_rate_and_thresholds_their_spread():
    def still(time):
        return np.full((1, 50, 50), 0.5)

    camera = Camera(noise_rate=2.0)
    (events,) = record(still, 1e6, camera, np.random.default_rng(0))
    assert abs(len(events) - 5000) < 4 * np.sqrt(5000)
    assert 0.45 < events.p.mean() < 0.55
    (again,) = record(still, 1e6, camera, np.random.default_rng(0))
    assert np.array_equal(events.t, again.t)
    spread = Camera(threshold=0.2, threshold_spread=0.05, refractory=0.0, noise_rate=0.0)
    (many,) = record(lambda time: np.full((1, 20, 20), 0.1 + 0.8 * time / 1e6), 1e6, spread, np.random.default_rng(0))
    counts = np.bincount(many.y * 20 + many.x, minlength=400)
    assert counts.std() > 0


def test_scenes_are_recorded_independently():
    def scenes(time):
        return np.stack([np.full((5, 5), 0.5), np.full((5, 5), 0.1 + 0.8 * time / 1e5)])

    still, rising = record(scenes, 1e5, EXACT, np.random.default_rng(0))
    assert len(still) == 0
    assert len(rising) == 25 * int(np.log(1.0 / 0.2) / 0.2)
    assert (np.diff(rising.t) >= 0).all()
    both = Camera(noise_rate=100.0)
    assert all(len(events) > 100 for events in record(scenes, 1e5, both, np.random.default_rng(0)))
