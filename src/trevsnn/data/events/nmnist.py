"""N-MNIST: digits before a camera that moves."""

from pathlib import Path

from trevsnn._util.suggest import shortened
from trevsnn.data.dataset import LabelledData
from trevsnn.data.events.samples import MODEL, RecordingFiles, frames_of, unpacked
from trevsnn.data.folder import read_folder
from trevsnn.data.inventory import Listing
from trevsnn.data.listing import leave_out_beside

SENSOR = (34, 34)
"""Height and width (pixels)."""


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
        preprocessing=frames_of(SENSOR),
        inventory=found.inventory(root),
    )
