"""Files sorted in class folders, as ImageNet is laid out."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from trevsnn.data.dataset import LabelledData, Samples
from trevsnn.data.pictures import EXTENSIONS, open_picture
from trevsnn.data.splitting import check_same_classes, find_splits, train_and_test


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
    names, read = read_class_folders(root, val_split, PictureFiles, EXTENSIONS)
    train, test, split = train_and_test(read, val_split)
    return LabelledData(
        name="imagefolder", class_names=names, train=train, test=test, split=split, model="trevsnn_tiny"
    )


def read_class_folders(
    root: Path, val_split: float | None, kind: type[FileSamples], extensions: Sequence[str]
) -> tuple[tuple[str, ...], dict[str, FileSamples]]:
    """Names of the classes, and the samples of each split of a data set laid out as for `image_folder`.

    Args:
        root, val_split: as there.
        kind: of the samples.
        extensions: how the names of their files end.
    """
    names, read = {}, {}
    for split, folder in find_splits(root, val_split).items():
        names[split], read[split] = read_folder(folder, kind, extensions)
    check_same_classes(root, names)
    return names["test"], read


def read_folder(
    folder: Path, kind: type[FileSamples], extensions: Sequence[str]
) -> tuple[tuple[str, ...], FileSamples]:
    """Names of the classes, in order, and the samples of a folder of class folders."""
    with os.scandir(folder) as entries:
        classes = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    if not classes:
        raise ValueError(
            f"data {str(folder)!r} has no class folders: put the files of each class in a folder of its own"
        )
    paths: list[bytes] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        files = sorted(_files(folder / name, folder, tuple(extensions)))
        if not files:
            raise ValueError(
                f"class folder {str(folder / name)!r} holds no file of the right kind ({', '.join(extensions)}); "
                "add some or remove it"
            )
        paths += files
        labels += [label] * len(files)
    return tuple(classes), kind(folder.absolute(), np.array(paths), np.array(labels, np.int64))


def _files(folder: Path, root: Path, extensions: tuple[str, ...]) -> list[bytes]:
    def stop(error: OSError) -> None:
        raise error

    return [
        os.fsencode(os.path.relpath(os.path.join(place, name), root))
        for place, _, names in os.walk(folder, onerror=stop, followlinks=True)
        for name in names
        if name.lower().endswith(extensions) and not name.startswith(".")
    ]
