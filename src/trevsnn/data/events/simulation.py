"""A simulated event camera, after the established model: a pixel fires when the logarithm of its brightness has
changed by its threshold since it last fired.

    event of polarity 1 (0) where log(I(t) + eps) - reference >= theta (<= -theta);  reference moves by theta

Thresholds differ a little between pixels, a pixel is blind for a while after it fired (refractory time), and now and
then one fires by itself (noise).

Source: H. Rebecq et al., ESIM: an Open Event Camera Simulator, CoRL 2018; Y. Hu et al., v2e, CVPRW 2021.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from trevsnn.data.events.recording import Events

Brightness = Callable[[float], np.ndarray]
"""Time (microseconds) -> brightness of N scenes (N, H, W), 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Parameters of the pixels."""

    threshold: float = 0.3
    """theta, change of the logarithm of the brightness."""
    threshold_spread: float = 0.03
    """Standard deviation of theta between pixels."""
    refractory: float = 1_000.0
    """Time for which a pixel is blind after it fired (microseconds)."""
    noise_rate: float = 1.0
    """Events of a pixel by itself (Hz)."""
    dark: float = 0.05
    """eps, added to the brightness before the logarithm."""
    sampling: float = 1_000.0
    """Time between two looks at the scene (microseconds); in between, the logarithm of the brightness is linear."""


def record(brightness: Brightness, duration: float, camera: Camera, generator: np.random.Generator) -> list[Events]:
    """What one camera records of some scenes: the spread of its thresholds is the same in all of them.

    Args:
        brightness: the scenes.
        duration: microseconds.
        camera: its pixels.
        generator: of the spread of the thresholds and the noise.
    """
    log = np.log(brightness(0.0) + camera.dark)
    scenes, height, width = log.shape
    theta = np.maximum(
        generator.normal(camera.threshold, camera.threshold_spread, (height, width)), camera.threshold / 10
    )
    reference, blind_until = log.copy(), np.full(log.shape, -np.inf)
    parts: list[tuple[np.ndarray, ...]] = []  # scene, time, x, y, polarity
    for step in range(math.ceil(duration / camera.sampling)):
        start = step * camera.sampling
        stop = min((step + 1) * camera.sampling, duration)
        new = np.log(brightness(stop) + camera.dark)
        scene, y, x = np.nonzero(np.abs(new - reference) >= theta)
        while len(scene):  # a pixel may fire several times within a step
            place = scene, y, x
            before = log[place]
            after = new[place]
            limit = theta[y, x]
            polarity = np.sign(after - reference[place])
            reference[place] += polarity * limit
            with np.errstate(divide="ignore", invalid="ignore"):
                share = np.nan_to_num((reference[place] - before) / (after - before), nan=0.0, posinf=0.0, neginf=0.0)
            when = start + (stop - start) * share.clip(0, 1)
            seen = when >= blind_until[place]
            parts.append((scene[seen], when[seen], x[seen], y[seen], polarity[seen] > 0))
            blind_until[scene[seen], y[seen], x[seen]] = when[seen] + camera.refractory
            again = np.abs(after - reference[place]) >= limit
            scene = scene[again]
            y = y[again]
            x = x[again]
        log = new
    noise = generator.poisson(camera.noise_rate * duration * 1e-6 * log.size)
    limits = (scenes, duration, width, height, 2)
    draws = generator.random((5, noise)) * np.array(limits)[:, None]
    parts.append((draws[0].astype(int), draws[1], *draws[2:].astype(int)))
    scene, *columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((columns[0], scene))
    columns[0] = columns[0].astype(np.int64)
    ends = np.searchsorted(scene[order], np.arange(scenes + 1))
    return [Events(*(column[order[i:j]] for column in columns)) for i, j in pairwise(ends)]
