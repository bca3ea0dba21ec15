"""Data sets by name."""

from pathlib import Path

from trevsnn._util.suggest import suggest
from trevsnn.data.cifar import cifar10, cifar100
from trevsnn.data.dataset import LabelledData
from trevsnn.data.digits import digits
from trevsnn.data.events import Events, Reading, read_recording
from trevsnn.data.events.cifar10dvs import CIFAR10DVS, cifar10dvs, read_upright
from trevsnn.data.events.digits import event_digits
from trevsnn.data.events.dvs128gesture import dvs128gesture
from trevsnn.data.events.folder import RECORDING_FOLDER, recording_folder
from trevsnn.data.events.nmnist import nmnist
from trevsnn.data.events.reading import AS_IT_STANDS
from trevsnn.data.folder import image_folder
from trevsnn.data.shards import tar_shards

_BUNDLED = {"digits": digits, "events/digits": event_digits}
_FROM_FILES = {
    "cifar10": cifar10,
    "cifar100": cifar100,
    "events/dvs128gesture": dvs128gesture,
    "events/nmnist": nmnist,
}
_READ_OTHERWISE = {CIFAR10DVS: read_upright}
_SPLITTABLE = {"imagefolder": image_folder, "webdataset": tar_shards, CIFAR10DVS: cifar10dvs}


def list_datasets() -> list[str]:
    """Names that `load_dataset` knows."""
    return sorted([*_BUNDLED, *_FROM_FILES, *_SPLITTABLE, RECORDING_FOLDER])


def load_dataset(
    name: str,
    data: Path | None = None,
    val_split: float | None = None,
    sensor_size: tuple[int, int] | None = None,
) -> LabelledData:
    """The data set of that name.

    Args:
        name: one of `list_datasets()`.
        data: the folder that holds it; None for one that comes with the package.
        val_split: share of the samples to test on, for data sets without a split of their own.
        sensor_size: height and width of the sensor (pixels), for "events/folder".

    Raises:
        ValueError: for an unknown name (the message has the nearest right one), a folder that does not hold the data
            set, or an argument that it does not take.
    """
    if name not in list_datasets():
        raise ValueError(f"dataset {name!r} is unknown; {suggest(name, list_datasets())}")
    if sensor_size is not None and name != RECORDING_FOLDER:
        raise ValueError(
            f"sensor_size={sensor_size!r} is for recordings in a folder of one's own, not for {name!r}; give --dataset "
            "folder with it (trevsnn train events), or leave it out"
        )
    if val_split is not None and name not in (*_SPLITTABLE, RECORDING_FOLDER):
        raise ValueError(f"val_split={val_split!r} is not for {name!r}, which has a split of its own; leave it out")
    if name in _BUNDLED:
        if data is not None:
            other = "--dataset folder" if name.startswith("events/") else "imagefolder as the kind of data"
            raise ValueError(
                f"data {str(data)!r} is not for {name!r}, which comes with scikit-learn; leave it out, or give {other}"
            )
        return _BUNDLED[name]()
    if data is None:
        raise ValueError(f"dataset {name!r} needs the folder that holds it; give --data DIR")
    if name == RECORDING_FOLDER:
        return recording_folder(data, val_split, sensor_size)
    return _SPLITTABLE[name](data, val_split) if name in _SPLITTABLE else _FROM_FILES[name](data)


def read_as(dataset: str | None, path: Path, reading: Reading = AS_IT_STANDS) -> Events:
    """The recording of a file, as the data set of this name has such files.

    Raises:
        ValueError: as `read_recording`.
    """
    return _READ_OTHERWISE.get(dataset or "", read_recording)(path, reading)
