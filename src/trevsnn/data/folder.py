"""Files sorted in class folders, as ImageNet is laid out."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image

from trevsnn.data.dataset import LabelledData, Samples
from trevsnn.data.inventory import Inventory, Listing
from trevsnn.data.listing import ClassFolders, leave_out_beside
from trevsnn.data.names import as_seen, differ_in_case_only
from trevsnn.data.pictures import EXTENSIONS, NOT_READ, open_picture
from trevsnn.data.splitting import check_same_classes, find_splits, split_data


@dataclass(frozen=True, eq=False)
class FileSamples(Samples):
    """One file per sample. The paths are kept as an array of bytes: a list would be copied into every worker."""

    root: Path
    paths: np.ndarray
    """(N,), relative to root."""
    labels: np.ndarray

    def path(self, index: int) -> Path:
        """The file of a sample."""
        return self.root / os.fsdecode(self.paths[index])


class PictureFiles(FileSamples):
    """Image files."""

    def open(self, index: int, channels: int) -> Image.Image:
        return open_picture(self.path(index), channels)


def image_folder(root: Path, val_split: float | None = None) -> LabelledData:
    """Class folders below train/ and val/; or, without these, class folders, a share of whose images is for testing.

    Args:
        root: the folder.
        val_split: share of the images of every class to test on, more than 0 and less than 1; None for val/, or, where
            there is no such folder, for nothing to train on.

    Raises:
        ValueError: when the folder does not exist or is not laid out so, a class is empty, or train/ and val/ have
            other classes.
    """
    for folder in find_splits(root, val_split).values():
        if any(folder.glob("*.tar")):
            raise ValueError(f"data {str(folder)!r} holds tar files: use `webdataset` in place of `imagefolder`")
    names, read, inventory = read_class_folders(root, val_split, PictureFiles, EXTENSIONS, NOT_READ)
    return split_data(
        read,
        val_split,
        name="imagefolder",
        class_names=names,
        model="trevsnn_tiny",
        inventory=inventory,
    )


def read_class_folders(
    root: Path,
    val_split: float | None,
    kind: type[FileSamples],
    extensions: Collection[str],
    ways: Mapping[str, str] = MappingProxyType({}),
) -> tuple[tuple[str, ...], dict[str, FileSamples], Inventory]:
    """Names of the classes, the samples of each split of a data set laid out as for `image_folder`, and the rest.

    Args:
        root, val_split: as there.
        kind: of the samples.
        extensions: how the names of their files end.
        ways: as for `Listing`.
    """
    found = Listing(ways=ways)
    names = {}
    read = {}
    splits = find_splits(root, val_split)
    if root not in splits.values():
        leave_out_beside(root, [folder.name for folder in splits.values()], found)
    for split, folder in splits.items():
        below = "" if folder == root else folder.name
        names[split], read[split] = read_folder(folder, kind, extensions, found, below)
    check_same_classes(root, names)
    return names["test"], read, found.inventory(root)


def read_folder(
    folder: Path, kind: type[FileSamples], extensions: Collection[str], found: Listing, below: str = ""
) -> tuple[tuple[str, ...], FileSamples]:
    """Names of the classes, in order, and the samples of a folder of class folders.

    Args:
        folder, kind, extensions: as above.
        found: takes note of what is left out.
        below: name of the folder, where it is one of the data's own.
    """
    classes = ClassFolders(folder, extensions, found, below)
    if not classes.names:
        raise ValueError(
            f"data {str(folder)!r} has no class folders: put the files of each class in a folder of its own"
        )
    names = _seen(folder, classes.names, found)
    files = classes.files(names.values())
    labels = np.repeat(np.arange(len(files)), [len(paths) for paths in files.values()])
    samples = kind(folder.absolute(), np.array(list(chain(*files.values()))), labels)
    return tuple(names), samples


def _seen(folder: Path, names: Sequence[bytes], found: Listing) -> dict[str, bytes]:
    """The folder of each class by its name as people see it, in order.

    Raises:
        ValueError: for two that look the same.
    """
    seen: dict[str, bytes] = {}
    for name in names:
        looks = as_seen(name)
        if looks in seen:
            raise ValueError(
                f"class folders {seen[looks]!a} and {name!a} of {str(folder)!r} look the same, {looks!r}: put them "
                "together, or give one of them another name"
            )
        seen[looks] = name
    if alike := differ_in_case_only(seen, seen):
        found.remarks.append(f"{alike[0][0]!r} and {alike[0][1]!r} are two classes, of large and small letters")
    return dict(sorted(seen.items()))
