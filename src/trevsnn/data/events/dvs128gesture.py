"""DVS128 Gesture: gestures of people, several in a recording."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from trevsnn._util.files import read_text
from trevsnn.data.dataset import LabelledData, Samples, Source
from trevsnn.data.events.aedat import read_aedat
from trevsnn.data.events.files import read_with
from trevsnn.data.events.labels import read_labels
from trevsnn.data.events.reading import AS_IT_STANDS, Reading
from trevsnn.data.events.recording import Events
from trevsnn.data.events.samples import DVS128, MODEL, frames_of, unpacked
from trevsnn.data.fingerprint import stand_of
from trevsnn.data.inventory import OTHER_KIND, Listing
from trevsnn.data.listing import OWN, entries_of, extension_of, passed_over
from trevsnn.data.pictures import BadImageError

UNLISTED = "in no list"
SILENCE = 100_000
"""A label may end so long after the last event (microseconds)."""
_LISTINGS = "trials_to_train.txt", "trials_to_test.txt"
GESTURES = (
    "hand_clapping",
    "right_hand_wave",
    "left_hand_wave",
    "right_arm_clockwise",
    "right_arm_counter_clockwise",
    "left_arm_clockwise",
    "left_arm_counter_clockwise",
    "arm_roll",
    "air_drums",
    "air_guitar",
    "other_gestures",
)


@dataclass(frozen=True, eq=False)
class Trials(Samples):
    """Parts of long recordings, file by file."""

    files: Sequence[Path]
    spans: np.ndarray
    """(N, 3): number of the file, beginning and end (microseconds, exclusive)."""
    labels: np.ndarray
    reading: Reading = AS_IT_STANDS

    def read_by(self, reading: Reading) -> "Trials":
        return replace(self, reading=reading)

    def group_sizes(self) -> Sequence[int]:
        return [int(count) for count in np.bincount(self.spans[:, 0], minlength=len(self.files)) if count]

    def source(self, index: int) -> Source:
        number, start, stop = map(int, self.spans[index])
        file = self.files[number]
        return Source(f"{file.stem}/{start}-{stop}", file)

    def open(self, index: int, channels: int) -> Events:
        number, start, stop = map(int, self.spans[index])
        file = self.files[number]
        try:
            stand = stand_of(file)
        except OSError as error:
            raise BadImageError(f"recording {str(file)!r} cannot be read: {error.strerror}") from error
        events, whole = _long_recording(file, stand, self.reading)
        end = int(events.t[-1]) if len(events) else 0
        if stop > end and not whole:
            raise BadImageError(f"recording {str(file)!r} is cut off at {end} microseconds, within a trial to {stop}")
        if stop > end + SILENCE:
            raise BadImageError(
                f"{str(_labels_of(file))!r} has a label that ends at {stop} microseconds, past the end of the "
                f"recording at {end}"
            )
        return events.between(start, stop)


@lru_cache(maxsize=1)
def _long_recording(file: Path, stand: bytes, reading: Reading) -> tuple[Events, bool]:
    """The events, kept for the next of its trials, and whether the file is whole: what comes before its end is good."""
    try:
        return read_with(lambda path: read_aedat(path, reading=reading), file), True
    except BadImageError:
        return read_with(lambda path: read_aedat(path, cut_off=True, reading=reading), file), False


def dvs128gesture(root: Path) -> LabelledData:
    """DVS128 Gesture: 11 gestures of 29 people, AEDAT 3.1 with labels; 23 people are to train on.

    Source: A. Amir et al., A Low Power, Fully Event-Based Gesture Recognition System, CVPR 2017.

    Args:
        root: the folder of the archive, with trials_to_train.txt and trials_to_test.txt.

    Raises:
        ValueError: when the folder does not hold them, or a file of labels cannot be read.
    """
    root = unpacked(root, "extract", "DvsGesture")
    train, test = (_trials(root, listing) for listing in _LISTINGS)
    if both := set(train.files) & set(test.files):
        raise ValueError(f"{min(both).name} is listed both to train and to test on; remove it from one of {_LISTINGS}")
    used = {*_LISTINGS, *(name for file in (*train.files, *test.files) for name in (file.name, _labels_of(file).name))}
    found = Listing()
    for entry in entries_of(os.fsencode(root)):
        if os.fsdecode(entry.name) not in used and entry.name != OWN:
            recorded = extension_of(entry.name) == b".aedat"
            found.leave_out(passed_over(entry.name) or (UNLISTED if recorded else OTHER_KIND), entry.name)
    return LabelledData(
        name="events/dvs128gesture",
        class_names=GESTURES,
        train=train,
        test=test,
        model=MODEL,
        preprocessing=frames_of(DVS128),
        inventory=found.inventory(root),
    )


def _trials(root: Path, listing: str) -> Trials:
    """Those of the recordings that a file lists."""
    if not (root / listing).is_file():
        raise ValueError(
            f"data {str(root)!r} has no {listing}: give the folder that the archive of DVS128 Gesture makes"
        )
    lines = list(filter(None, map(str.strip, read_text(root / listing).split("\n"))))
    files = [root / line for line in lines]
    if not files:
        raise ValueError(f"{str(root / listing)!r} lists no recording")
    for line, times in Counter(lines).items():
        if times > 1 or not line.endswith(".aedat"):
            why = f"lists {line!r} {times} times" if times > 1 else f"lists {line!r}, which is not an .aedat file"
            raise ValueError(f"{str(root / listing)!r} {why}; remove the line")
    spans, labels = [], []
    for number, file in enumerate(files):
        if not file.is_file():
            raise ValueError(f"{listing} lists {file.name}, which {str(root)!r} does not hold")
        for label, start, stop in read_labels(_labels_of(file), len(GESTURES)):
            spans.append((number, start, stop))
            labels.append(label - 1)
    return Trials(files, np.array(spans, np.int64), np.array(labels, np.int64))


def _labels_of(file: Path) -> Path:
    return file.with_name(f"{file.stem}_labels.csv")
