"""CIFAR10-DVS: pictures that move before a camera."""

from pathlib import Path

from trevsnn._util.suggest import shortened
from trevsnn.data.dataset import LabelledData
from trevsnn.data.events.files import read_recording
from trevsnn.data.events.reading import Reading
from trevsnn.data.events.recording import Events
from trevsnn.data.events.samples import DVS128, MODEL, RecordingFiles, frames_of, unpacked
from trevsnn.data.folder import read_class_folders
from trevsnn.data.splitting import split_data

CIFAR10DVS = "events/cifar10dvs"
OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class RotatedFiles(RecordingFiles):
    """Of a DVS128 that lay on its side, set upright."""

    def open(self, index: int, channels: int) -> Events:
        return read_upright(self.path(index), self.reading)


def read_upright(path: Path, reading: Reading) -> Events:
    """The recording of a file; one of the data set's own, of a camera that lay on its side, with x = 127 - y and
    y = 127 - x of the sensor's.

    Raises:
        ValueError: as `read_recording`.
    """
    events = read_recording(path, reading)
    if path.suffix.lower() != ".aedat":
        return events
    return Events(events.t, DVS128[1] - 1 - events.y, DVS128[0] - 1 - events.x, events.p)


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
    return split_data(
        read,
        val_split,
        name=CIFAR10DVS,
        class_names=names,
        model=MODEL,
        preprocessing=frames_of(DVS128),
        inventory=inventory,
    )
