"""A simulated event camera, after the established model: a pixel fires when the logarithm of its brightness has
changed by its threshold since it last fired.

    event of polarity 1 (0) where log(I(t) + eps) - reference >= theta (<= -theta);  reference moves by theta

Thresholds differ a little between pixels, a pixel is blind for a while after it fired (refractory time), and now and
then one fires by itself (noise).

Source: H. Rebecq et al., ESIM: an Open Event Camera Simulator, CoRL 2018; Y. Hu et al., v2e, CVPRW 2021.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trevsnn.data.events.recording import Events

Brightness = Callable[[float], np.ndarray]
"""Time (microseconds) -> brightness (H, W), 0 to 1."""


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


def record(brightness: Brightness, duration: float, camera: Camera, generator: np.random.Generator) -> Events:
    """What the camera records of a scene.

    Args:
        brightness: the scene.
        duration: microseconds.
        camera: its pixels.
        generator: of the spread of the thresholds and the noise.
    """
    log = np.log(brightness(0.0) + camera.dark)
    theta = np.maximum(generator.normal(camera.threshold, camera.threshold_spread, log.shape), camera.threshold / 10)
    reference, blind_until = log.copy(), np.full(log.shape, -np.inf)
    parts: list[tuple[np.ndarray, ...]] = []
    steps = int(np.ceil(duration / camera.sampling))
    for step in range(steps):
        start, stop = step * camera.sampling, min((step + 1) * camera.sampling, duration)
        new = np.log(brightness(stop) + camera.dark)
        slope = (new - log) / (stop - start)
        while True:  # a pixel may fire several times within a step
            change = new - reference
            polarity = np.sign(change)
            with np.errstate(divide="ignore", invalid="ignore"):
                when = start + (reference + polarity * theta - log) / slope
            fires = (np.abs(change) >= theta) & (slope * polarity > 0)
            when = np.where(fires, np.maximum(when, start), np.inf)
            if not fires.any():
                break
            seen = fires & (when >= blind_until)
            y, x = np.nonzero(seen)
            parts.append((when[seen], x, y, polarity[seen] > 0))
            blind_until = np.where(seen, when + camera.refractory, blind_until)
            reference = np.where(fires, reference + polarity * theta, reference)
        log = new
    height, width = log.shape
    noise = generator.poisson(camera.noise_rate * duration * 1e-6 * log.size)
    parts.append(
        (
            generator.uniform(0, duration, noise),
            generator.integers(0, width, noise),
            generator.integers(0, height, noise),
            generator.integers(0, 2, noise),
        )
    )
    return Events(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
