"""scikit-learn's handwritten digits before a simulated event camera, which makes saccades as in N-MNIST: no download.

The digit, 8 x 8 pixels, is enlarged to 24 x 24 in the middle of 34 x 34 and travels along the three sides of a
triangle, a third of the time each.
"""

import numpy as np

from trevsnn.data.dataset import LabelledData, Samples
from trevsnn.data.digits import digits
from trevsnn.data.events.recording import Events
from trevsnn.data.events.samples import MODEL, RecordedSamples, frames_of
from trevsnn.data.events.simulation import Camera, record

SIZE = (34, 34)
DURATION = 300_000
"""Microseconds."""
_ENLARGED = 3
_CORNERS = np.array([(0.0, 0.0), (3.0, -3.0), (3.0, 3.0), (0.0, 0.0)])
"""Of the path, in pixels of the sensor: right and down."""
_CAMERA = Camera(threshold=0.25, threshold_spread=0.02, sampling=2_000.0)


def record_digits(samples: Samples, seed: int = 0) -> list[Events]:
    """The recording of every digit, microsecond events on 34 x 34 pixels; the same at every call.

    Args:
        samples: digits, as `load_dataset("digits")` has them.
        seed: of the thresholds and the noise of the camera.
    """
    pictures = np.stack([np.asarray(samples.open(i, 1), np.float64) / 255 for i in range(len(samples))])
    scenes = np.kron(pictures, np.ones((_ENLARGED, _ENLARGED)))
    height, width = SIZE
    rows, columns = height - scenes.shape[1], width - scenes.shape[2]
    scenes = np.pad(scenes, ((0, 0), (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)))

    def brightness(time: float) -> np.ndarray:
        return _moved(scenes, *_position(time / DURATION))

    return record(brightness, DURATION, _CAMERA, np.random.default_rng(seed))


def _position(share: float) -> tuple[float, float]:
    """Where on its path the digit is after this share of the time."""
    sides = len(_CORNERS) - 1
    side = min(int(share * sides), sides - 1)
    x, y = _CORNERS[side] + (share * sides - side) * (_CORNERS[side + 1] - _CORNERS[side])
    return float(x), float(y)


def _moved(scenes: np.ndarray, x: float, y: float) -> np.ndarray:
    """Scenes (N, H, W) moved right and down by parts of a pixel, bilinearly; what leaves comes in at the other side."""
    for axis, distance in ((2, x), (1, y)):
        whole = int(np.floor(distance))
        part = distance - whole
        scenes = (1 - part) * np.roll(scenes, whole, axis) + part * np.roll(scenes, whole + 1, axis)
    return scenes


def event_digits() -> LabelledData:
    """scikit-learn's handwritten digits before a simulated event camera."""
    pictures = digits()
    assert pictures.train is not None, "it has a split of its own"
    return LabelledData(
        name="events/digits",
        class_names=pictures.class_names,
        train=RecordedSamples(record_digits(pictures.train), pictures.train.labels),
        test=RecordedSamples(record_digits(pictures.test), pictures.test.labels),
        model=MODEL,
        preprocessing=frames_of(SIZE),
        in_memory=True,
    )
