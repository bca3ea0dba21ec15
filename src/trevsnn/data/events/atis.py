"""Reader for the recordings of N-MNIST and N-Caltech101.

5 bytes per event: x, y, then from the highest bit polarity (1 for ON) and 23 bits of time (microseconds). An event with
y = 240 is none: it says that the time stamps have overflowed by 2^13 microseconds.

Source: G. Orchard et al., Converting Static Image Datasets to Spiking Neuromorphic Datasets Using Saccades, 2015, and
the reader that its authors published.
"""

from pathlib import Path

import numpy as np

from trevsnn.data.events.recording import Events

_OVERFLOW_Y, _OVERFLOW = 240, 2**13


def read_atis(path: Path) -> Events:
    """The events of a .bin file.

    Raises:
        ValueError: when it is cut off.
    """
    content = np.frombuffer(path.read_bytes(), np.uint8)
    if len(content) % 5:
        raise ValueError(f"{str(path)!r} is cut off: it holds {len(content)} bytes, and an event has 5")
    x, y, high, middle, low = content.reshape(-1, 5).T
    overflow = y == _OVERFLOW_Y
    time = (high & 0x7F).astype(np.int64) << 16 | middle.astype(np.int64) << 8 | low
    time += np.cumsum(overflow) * _OVERFLOW
    events = ~overflow
    return Events(time[events], x[events], y[events], high[events] >> 7)
