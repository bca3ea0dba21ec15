"""Reader for the recordings of N-MNIST and N-Caltech101.

5 bytes per event: x, y, then from the highest bit polarity (1 for ON) and 23 bits of time (microseconds). An event with
y = 240 is none: it says that the time stamps have overflowed by 2^13 microseconds.

Source: G. Orchard et al., Converting Static Image Datasets to Spiking Neuromorphic Datasets Using Saccades, 2015, and
the reader that its authors published.
"""

from pathlib import Path

import numpy as np

from trevsnn.data.events.ordering import Columns
from trevsnn.data.events.reading import AS_IT_STANDS, Reading
from trevsnn.data.events.recording import BLOCK, Events

_OVERFLOW_Y = 240
_OVERFLOW = 2**13
_SIZE = 5


def read_atis(path: Path, reading: Reading = AS_IT_STANDS) -> Events:
    """The events of a .bin file.

    Raises:
        ValueError: when it is cut off.
    """
    size = path.stat().st_size
    if size % _SIZE:
        raise ValueError(f"{str(path)!r} is cut off: it holds {size} bytes, and an event has {_SIZE}")
    columns, overflows = Columns(size // _SIZE), 0
    with path.open("rb") as file:
        while content := file.read(BLOCK * _SIZE):
            x, y, high, middle, low = np.frombuffer(content, np.uint8).reshape(-1, _SIZE).T
            overflow = y == _OVERFLOW_Y
            time = (high & 0x7F).astype(np.int64) << 16 | middle.astype(np.int64) << 8 | low
            time += (overflows + np.cumsum(overflow)) * _OVERFLOW
            overflows += int(np.count_nonzero(overflow))
            columns.add(*(values[~overflow] for values in (time, x, y, high >> 7)))
    return columns.events(reading)
