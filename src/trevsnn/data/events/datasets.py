"""Data sets of recordings, by name."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from trevsnn.data.dataset import LabelledData, Samples, Source
from trevsnn.data.digits import digits
from trevsnn.data.events.aedat import read_aedat
from trevsnn.data.events.digits import SIZE, record_digits
from trevsnn.data.events.files import READERS, check_readable, read_recording, read_with
from trevsnn.data.events.preprocessing import FramePreprocessing
from trevsnn.data.events.recording import Events
from trevsnn.data.folder import FileSamples, read_class_folders, read_folder
from trevsnn.data.pictures import BadImageError
from trevsnn.data.splitting import train_and_test
from trevsnn.suggest import shortened

DVS128, NMNIST = (128, 128), (34, 34)
"""Height and width of the sensors (pixels)."""
MODEL = "trevsnn_dvs"
CIFAR10DVS, RECORDING_FOLDER = "events/cifar10dvs", "events/folder"
LARGEST = 128
"""Sensors with longer sides are reduced to frames of this height and width by default (pixels)."""
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


class RecordingFiles(FileSamples):
    """One file per recording."""

    def source(self, index: int) -> Source:
        return Source(f"{self.root.name}/{os.fsdecode(self.paths[index])}", self.path(index))

    def open(self, index: int, channels: int) -> Events:
        return read_recording(self.path(index))


class RotatedFiles(RecordingFiles):
    """Of a DVS128 that lay on its side, set upright."""

    def open(self, index: int, channels: int) -> Events:
        return _upright(read_recording(self.path(index)))


@dataclass(frozen=True, eq=False)
class Trials(Samples):
    """Parts of long recordings, file by file."""

    files: Sequence[Path]
    spans: np.ndarray
    """(N, 3): number of the file, beginning and end (microseconds, exclusive)."""
    labels: np.ndarray

    def group_sizes(self) -> Sequence[int]:
        return [int(count) for count in np.bincount(self.spans[:, 0], minlength=len(self.files)) if count]

    def source(self, index: int) -> Source:
        number, start, stop = map(int, self.spans[index])
        file = self.files[number]
        return Source(f"{file.stem}/{start}-{stop}", file)

    def open(self, index: int, channels: int) -> Events:
        number, start, stop = map(int, self.spans[index])
        file = self.files[number]
        events, whole = _long_recording(file)
        end = int(events.t[-1]) if len(events) else 0
        if stop > end and not whole:
            raise BadImageError(f"recording {str(file)!r} is cut off at {end} microseconds, within a trial to {stop}")
        if stop > end + SILENCE:
            raise BadImageError(
                f"{str(_labels_of(file))!r} has a label that ends at {stop} microseconds, past the end of the "
                f"recording at {end}"
            )
        return events.between(start, stop)


def read_as(dataset: str | None, path: Path) -> Events:
    """The recording of a file, as the data set of this name has such files.

    Raises:
        ValueError: as `read_recording`.
    """
    events = read_recording(path)
    return _upright(events) if dataset == CIFAR10DVS and path.suffix.lower() == ".aedat" else events


def _upright(events: Events) -> Events:
    """x = 127 - y and y = 127 - x of the sensor's."""
    return Events(events.t, DVS128[1] - 1 - events.y, DVS128[0] - 1 - events.x, events.p)


@lru_cache(maxsize=1)
def _long_recording(file: Path) -> tuple[Events, bool]:
    """The events, kept for the next of its trials, and whether the file is whole: what comes before its end is good."""
    try:
        return read_with(read_aedat, file), True
    except BadImageError:
        return read_with(lambda path: read_aedat(path, cut_off=True), file), False


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
    names, read = read_class_folders(root, val_split, RotatedFiles, (".aedat",))
    if names != OBJECTS:
        raise ValueError(
            f"data {str(root)!r} holds the class folders {shortened(names)}, not those of CIFAR10-DVS: unpack its ten "
            f"archives there, {OBJECTS[0]} to {OBJECTS[-1]}"
        )
    train, test, split = train_and_test(read, val_split)
    return LabelledData(
        name=CIFAR10DVS,
        class_names=names,
        train=train,
        test=test,
        split=split,
        model=MODEL,
        preprocessing=_frames(DVS128),
    )


def dvs128gesture(root: Path) -> LabelledData:
    """DVS128 Gesture: 11 gestures of 29 people, AEDAT 3.1 with labels; 23 people are to train on.

    Source: A. Amir et al., A Low Power, Fully Event-Based Gesture Recognition System, CVPR 2017.

    Args:
        root: the folder of the archive, with trials_to_train.txt and trials_to_test.txt.

    Raises:
        ValueError: when the folder does not hold them, or a file of labels cannot be read.
    """
    return LabelledData(
        name="events/dvs128gesture",
        class_names=GESTURES,
        train=_trials(root, "trials_to_train.txt"),
        test=_trials(root, "trials_to_test.txt"),
        model=MODEL,
        preprocessing=_frames(DVS128),
    )


def nmnist(root: Path) -> LabelledData:
    """N-MNIST: MNIST's digits before a moving camera, 60,000 to train on and 10,000 to test on.

    Source: G. Orchard et al., Converting Static Image Datasets to Spiking Neuromorphic Datasets Using Saccades, 2015.

    Args:
        root: the folder of Train and Test.

    Raises:
        ValueError: when the folder does not hold them.
    """
    splits = {}
    for split in ("Train", "Test"):
        if not (root / split).is_dir():
            raise ValueError(f"data {str(root)!r} has no folder {split!r}: unpack the archives of N-MNIST there")
        names, splits[split] = read_folder(root / split, RecordingFiles, (".bin",))
        if names != tuple(map(str, range(10))):
            raise ValueError(f"data {str(root / split)!r} holds {shortened(names)}, not the digits' folders 0 to 9")
    return LabelledData(
        name="events/nmnist",
        class_names=tuple(map(str, range(10))),
        train=splits["Train"],
        test=splits["Test"],
        model=MODEL,
        preprocessing=_frames(NMNIST),
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
    names, read = read_class_folders(root, val_split, RecordingFiles, tuple(READERS))
    for samples in read.values():
        for path in {path.suffix: path for path in map(samples.path, range(len(samples)))}.values():
            check_readable(path)
    train, test, split = train_and_test(read, val_split)
    return LabelledData(
        name=RECORDING_FOLDER,
        class_names=names,
        train=train,
        test=test,
        split=split,
        model=MODEL,
        preprocessing=_frames(sensor_size),
    )


def _frames(sensor_size: tuple[int, int]) -> FramePreprocessing:
    height, width = sensor_size if max(sensor_size) <= LARGEST else (LARGEST, LARGEST)
    return FramePreprocessing(input_size=(2, height, width), sensor_size=sensor_size)


def _trials(root: Path, listing: str) -> Trials:
    """Those of the recordings that a file lists."""
    if not (root / listing).is_file():
        raise ValueError(
            f"data {str(root)!r} has no {listing}: give the folder that the archive of DVS128 Gesture makes"
        )
    lines = (root / listing).read_text(encoding="utf-8").split()
    files = [root / line for line in lines if line.endswith(".aedat")]
    if not files:
        raise ValueError(f"{str(root / listing)!r} lists no .aedat file")
    spans, labels = [], []
    for number, file in enumerate(files):
        if not file.is_file():
            raise ValueError(f"{listing} lists {file.name}, which {str(root)!r} does not hold")
        for label, start, stop in _read_labels(_labels_of(file)):
            spans.append((number, start, stop))
            labels.append(label - 1)
    return Trials(files, np.array(spans, np.int64), np.array(labels, np.int64))


def _labels_of(file: Path) -> Path:
    return file.with_name(f"{file.stem}_labels.csv")


def _read_labels(path: Path) -> list[tuple[int, int, int]]:
    """Class from 1, beginning and end (microseconds) of each trial."""
    trials = []
    try:
        _, *lines = path.read_text(encoding="utf-8").splitlines()
        for line in filter(str.strip, lines):
            label, start, stop = map(int, line.split(","))
            trials.append((label, start, stop))
    except (OSError, ValueError) as error:
        columns = "class,startTime_usec,endTime_usec"
        raise ValueError(f"labels {str(path)!r} cannot be read as rows of {columns}: {error}") from error
    if not trials:
        raise ValueError(f"labels {str(path)!r} have no rows")
    for label, start, stop in trials:
        if not 1 <= label <= len(GESTURES) or not -(2**62) < start < stop < 2**62:
            raise ValueError(
                f"labels {str(path)!r} have class {label} from {start} to {stop} microseconds; classes are 1 to "
                f"{len(GESTURES)}, and a trial ends after it begins"
            )
    return trials
