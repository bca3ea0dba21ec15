"""Data sets of recordings, by name."""

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from trevsnn._util.files import read_text
from trevsnn._util.suggest import shortened
from trevsnn.data.dataset import LabelledData, Samples, Source
from trevsnn.data.digits import digits
from trevsnn.data.events.aedat import read_aedat
from trevsnn.data.events.digits import SIZE, record_digits
from trevsnn.data.events.files import NOT_READ, READERS, check_readable, read_recording, read_with
from trevsnn.data.events.labels import read_labels
from trevsnn.data.events.preprocessing import FramePreprocessing
from trevsnn.data.events.reading import AS_IT_STANDS, Reading
from trevsnn.data.events.recording import Events
from trevsnn.data.fingerprint import stand_of
from trevsnn.data.folder import FileSamples, read_class_folders, read_folder
from trevsnn.data.inventory import OTHER_KIND, Listing
from trevsnn.data.listing import FOLDER, OWN, entries_of, extension_of, kind_of, leave_out_beside, passed_over
from trevsnn.data.pictures import BadImageError
from trevsnn.data.splitting import train_and_test

DVS128, NMNIST = (128, 128), (34, 34)
"""Height and width of the sensors (pixels)."""
MODEL = "trevsnn_dvs"
CIFAR10DVS, RECORDING_FOLDER = "events/cifar10dvs", "events/folder"
LARGEST = 128
"""Sensors with longer sides are reduced to frames of this height and width by default (pixels)."""
_LISTINGS = "trials_to_train.txt", "trials_to_test.txt"
UNLISTED = "in no list"
_OF_SPIKINGJELLY = "download", "extract", "events_np"
SILENCE = 100_000
"""A label may end so long after the last event (microseconds)."""
OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
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
class RecordedSamples(Samples):
    """Recordings held in memory."""

    recordings: Sequence[Events]
    labels: np.ndarray

    def open(self, index: int, channels: int) -> Events:
        return self.recordings[index]


@dataclass(frozen=True, eq=False)
class RecordingFiles(FileSamples):
    """One file per recording."""

    reading: Reading = AS_IT_STANDS

    def read_by(self, reading: Reading) -> "RecordingFiles":
        return replace(self, reading=reading)

    def source(self, index: int) -> Source:
        return Source(f"{self.root.name}/{os.fsdecode(self.paths[index])}", self.path(index))

    def open(self, index: int, channels: int) -> Events:
        return read_recording(self.path(index), self.reading)


class RotatedFiles(RecordingFiles):
    """Of a DVS128 that lay on its side, set upright."""

    def open(self, index: int, channels: int) -> Events:
        return _upright(read_recording(self.path(index), self.reading))


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


def read_as(dataset: str | None, path: Path, reading: Reading = AS_IT_STANDS) -> Events:
    """The recording of a file, as the data set of this name has such files.

    Raises:
        ValueError: as `read_recording`.
    """
    events = read_recording(path, reading)
    return _upright(events) if dataset == CIFAR10DVS and path.suffix.lower() == ".aedat" else events


def _upright(events: Events) -> Events:
    """x = 127 - y and y = 127 - x of the sensor's."""
    return Events(events.t, DVS128[1] - 1 - events.y, DVS128[0] - 1 - events.x, events.p)


@lru_cache(maxsize=1)
def _long_recording(file: Path, stand: bytes, reading: Reading) -> tuple[Events, bool]:
    """The events, kept for the next of its trials, and whether the file is whole: what comes before its end is good."""
    try:
        return read_with(lambda path: read_aedat(path, reading=reading), file), True
    except BadImageError:
        return read_with(lambda path: read_aedat(path, cut_off=True, reading=reading), file), False


def event_digits() -> LabelledData:
    """scikit-learn's handwritten digits before a simulated event camera (see `trevsnn.data.events.digits`)."""
    pictures = digits()
    assert pictures.train is not None, "it has a split of its own"
    return LabelledData(
        name="events/digits",
        class_names=pictures.class_names,
        train=RecordedSamples(record_digits(pictures.train), pictures.train.labels),
        test=RecordedSamples(record_digits(pictures.test), pictures.test.labels),
        model=MODEL,
        preprocessing=_frames(SIZE),
        in_memory=True,
    )


def cifar10dvs(root: Path, val_split: float | None = None) -> LabelledData:
    """CIFAR10-DVS: 1,000 recordings of each of 10 classes in a folder of its own, AEDAT 2.0, without a split.

    Source: H. Li et al., CIFAR10-DVS: An Event-Stream Dataset for Object Classification, 2017.

    Args:
        root: the folder of the class folders.
        val_split: as for `recording_folder`.

    Raises:
        ValueError: when the folder does not hold them.
    """
    root = unpacked(root, "extract")
    names, read, inventory = read_class_folders(root, val_split, RotatedFiles, (".aedat",))
    if names != OBJECTS:
        raise ValueError(
            f"data {str(root)!r} holds the class folders {shortened(names)}, not those of CIFAR10-DVS: unpack its ten "
            f"archives there, {OBJECTS[0]} to {OBJECTS[-1]}"
        )
    train, test, split = train_and_test(read, val_split, names)
    return LabelledData(
        name=CIFAR10DVS,
        class_names=names,
        train=train,
        test=test,
        split=split,
        model=MODEL,
        preprocessing=_frames(DVS128),
        inventory=inventory,
    )


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
        preprocessing=_frames(DVS128),
        inventory=found.inventory(root),
    )


def nmnist(root: Path) -> LabelledData:
    """N-MNIST: MNIST's digits before a moving camera, 60,000 to train on and 10,000 to test on.

    Source: G. Orchard et al., Converting Static Image Datasets to Spiking Neuromorphic Datasets Using Saccades, 2015.

    Args:
        root: the folder of Train and Test.

    Raises:
        ValueError: when the folder does not hold them.
    """
    root = unpacked(root, "extract")
    splits, found = {}, Listing()
    leave_out_beside(root, ("Train", "Test"), found)
    for split in ("Train", "Test"):
        if not (root / split).is_dir():
            raise ValueError(f"data {str(root)!r} has no folder {split!r}: unpack the archives of N-MNIST there")
        names, splits[split] = read_folder(root / split, RecordingFiles, (".bin",), found, split)
        if names != tuple(map(str, range(10))):
            raise ValueError(f"data {str(root / split)!r} holds {shortened(names)}, not the digits' folders 0 to 9")
    return LabelledData(
        name="events/nmnist",
        class_names=tuple(map(str, range(10))),
        train=splits["Train"],
        test=splits["Test"],
        model=MODEL,
        preprocessing=_frames(NMNIST),
        inventory=found.inventory(root),
    )


def recording_folder(root: Path, val_split: float | None, sensor_size: tuple[int, int] | None) -> LabelledData:
    """Recordings of any format that `read_recording` knows, sorted in class folders as for `image_folder`.

    Args:
        root: the folder.
        val_split: share of the recordings of every class to test on, more than 0 and less than 1; None for val/.
        sensor_size: height and width of the sensor (pixels).

    Raises:
        ValueError: as `image_folder`; without a sensor size; when a package that reads the files is not installed.
    """
    if sensor_size is None:
        raise ValueError("a folder of recordings needs the height and width of the sensor: --sensor-size 128 128")
    root = unpacked(root, "events_np")
    names, read, inventory = read_class_folders(root, val_split, RecordingFiles, READERS.keys(), NOT_READ)
    for samples in read.values():
        for path in {path.suffix: path for path in map(samples.path, range(len(samples)))}.values():
            with suppress(BadImageError):  # which is told when it is read
                check_readable(path)
    train, test, split = train_and_test(read, val_split, names)
    return LabelledData(
        name=RECORDING_FOLDER,
        class_names=names,
        train=train,
        test=test,
        split=split,
        model=MODEL,
        preprocessing=_frames(sensor_size),
        inventory=inventory,
    )


def unpacked(root: Path, *folders: str) -> Path:
    """The folder in which SpikingJelly keeps the files wanted, where it has laid these data out; else the data's own.

    Raises:
        ValueError: when it has, and they are not there.
    """
    if not root.is_dir():
        return root
    names = [entry.name for entry in entries_of(os.fsencode(root)) if kind_of(entry) == FOLDER]
    names = [os.fsdecode(name) for name in names if passed_over(name) is None]
    if not any(name in _OF_SPIKINGJELLY for name in names) or not all(map(_is_of_spikingjelly, names)):
        return root
    inner = root.joinpath(*folders)
    if not inner.is_dir():
        raise ValueError(
            f"data {str(root)!r} holds {shortened(sorted(names))}, as SpikingJelly lays data out, but not "
            f"{'/'.join(folders)}: give the folder that holds the class folders or the archive's files as --data"
        )
    return inner


def _is_of_spikingjelly(name: str) -> bool:
    return name in _OF_SPIKINGJELLY or name.startswith(("frames_number_", "duration_", "frames_fixed_"))


def _frames(sensor_size: tuple[int, int]) -> FramePreprocessing:
    height, width = sensor_size if max(sensor_size) <= LARGEST else (LARGEST, LARGEST)
    return FramePreprocessing(input_size=(2, height, width), sensor_size=sensor_size)


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
            why = f"lists {line!r} {times} times" if times > 1 else f"lists {line!r}, which is no .aedat file"
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
