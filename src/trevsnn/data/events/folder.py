"""Recordings of one's own, in class folders."""

from contextlib import suppress
from pathlib import Path

from trevsnn.data.dataset import LabelledData
from trevsnn.data.events.files import NOT_READ, READERS, check_readable
from trevsnn.data.events.samples import MODEL, RecordingFiles, frames_of, unpacked
from trevsnn.data.folder import read_class_folders
from trevsnn.data.pictures import BadImageError
from trevsnn.data.splitting import split_data

RECORDING_FOLDER = "events/folder"


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
    return split_data(
        read,
        val_split,
        name=RECORDING_FOLDER,
        class_names=names,
        model=MODEL,
        preprocessing=frames_of(sensor_size),
        inventory=inventory,
    )
