"""Reader for Prophesee's DAT files, of N-CARS for example.

Lines that begin with %, then two bytes, type and size (8) of the events; an event, little-endian, is a time stamp
(32 bits, microseconds) and a word: x in bits 0 to 13, y in bits 14 to 27, polarity in bit 28 (1 for ON).

Source: Prophesee, DAT file format, version 2.
"""

from pathlib import Path

import numpy as np

from trevsnn.data.events.ordering import Columns
from trevsnn.data.events.reading import AS_IT_STANDS, Reading
from trevsnn.data.events.recording import BLOCK, Events

_RECORD = np.dtype([("time", "<u4"), ("word", "<u4")])
_EVENTS_OF_PIXELS = {0, 12}
"""Types: Event2d and EventCD."""
_LONGEST_LINE = 2**16


def read_dat(path: Path, reading: Reading = AS_IT_STANDS) -> Events:
    """The events of a .dat file.

    Raises:
        ValueError: when it is of another version or of other events, or cut off.
    """
    with path.open("rb") as file:
        lines, start = 0, 0
        while (line := file.readline(_LONGEST_LINE)).startswith(b"%"):
            words = line.decode("ascii", "replace").strip("% \r\n").split()
            if words[:1] == ["Version"] and words[1:] != ["2"]:
                raise ValueError(f"{str(path)!r} is of DAT version {' '.join(words[1:])[:20]!r}; 2 can be read")
            lines, start = lines + 1, file.tell()
        file.seek(start)
        kind, size = (*file.read(2), -1, -1)[:2]
        if not lines or kind not in _EVENTS_OF_PIXELS or size != _RECORD.itemsize:
            raise ValueError(
                f"{str(path)!r} is not a DAT file of events of pixels, version 2: after {lines} lines of header come "
                f"type {kind} and size {size}, not 0 or 12 and 8"
            )
        left = path.stat().st_size - file.tell()
        if left % _RECORD.itemsize:
            missing = -left % _RECORD.itemsize
            raise ValueError(f"{str(path)!r} is cut off: {missing} bytes are missing at its end, or more")
        columns = Columns(left // _RECORD.itemsize)
        while content := file.read(BLOCK * _RECORD.itemsize):
            records = np.frombuffer(content, _RECORD)
            word = records["word"]
            columns.add(records["time"], word & 0x3FFF, word >> 14 & 0x3FFF, word >> 28 & 1)
    return columns.events(reading)
