"""Labels of DVS128 Gesture: a class and its time per row, whatever system wrote the file."""

import re
from pathlib import Path

from trevsnn._util.files import read_text

_COLUMNS = "class,startTime_usec,endTime_usec"
_BETWEEN = re.compile(r"[,;\s]+")
_LATEST = 2**62


def read_labels(path: Path, classes: int) -> list[tuple[int, int, int]]:
    """Class from 1, beginning and end (microseconds) of each trial.

    Args:
        path: rows of three integers, parted by commas, semicolons, tabs or spaces; the first row may be in words.
        classes: how many there are.

    Raises:
        ValueError: when it cannot be read, has no rows, or one that cannot be.
    """
    try:
        lines = [(number, line.strip()) for number, line in enumerate(read_text(path).split("\n"), 1) if line.strip()]
    except OSError as error:
        raise ValueError(f"labels {str(path)!r} cannot be read: {error.strerror}") from error
    if lines and not any(map(str.isdigit, lines[0][1])):
        del lines[0]
    if not lines:
        raise ValueError(f"labels {str(path)!r} have no rows of {_COLUMNS}")
    return [_trial(path, number, line, classes) for number, line in lines]


def _trial(path: Path, number: int, line: str, classes: int) -> tuple[int, int, int]:
    try:
        label, start, stop = (int(part) for part in _BETWEEN.split(line.strip(",; \t")))
    except ValueError:
        raise ValueError(
            f"labels {str(path)!r} cannot be read as rows of {_COLUMNS}, integers: line {number} is {line[:60]!r}"
        ) from None
    if not 1 <= label <= classes or not 0 <= start < stop <= _LATEST:
        raise ValueError(
            f"labels {str(path)!r} have class {label} from {start} to {stop} microseconds in line {number}; classes "
            f"are 1 to {classes}, and a trial ends after it begins"
        )
    return label, start, stop
