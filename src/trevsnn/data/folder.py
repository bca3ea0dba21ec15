"""Image files sorted in class folders, as ImageNet is laid out."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from trevsnn.data.dataset import ImageDataset, Samples
from trevsnn.data.pictures import EXTENSIONS, open_picture
from trevsnn.data.splitting import Subset, check_same_classes, find_splits, split_by_class


@dataclass(frozen=True, eq=False)
class FileSamples(Samples):
    """One file per image. The paths are kept as an array of bytes: a list would be copied into every worker."""

    root: Path
    paths: np.ndarray
    """(N,), relative to root."""
    labels: np.ndarray

    def open(self, index: int, channels: int) -> Image.Image:
        return open_picture(self.root / os.fsdecode(self.paths[index]), channels)


def image_folder(root: Path, val_split: float | None = None) -> ImageDataset:
    """Class folders below train/ and val/; or, without these, class folders, a share of whose images is for testing.

    Args:
        root: the folder.
        val_split: share of the images of every class to test on, more than 0 and less than 1; None for val/, or, where
            there is no such folder, for nothing to train on.

    Raises:
        ValueError: when the folder does not exist or is not laid out so, a class is empty, or train/ and val/ have
            other classes.
    """
    splits = find_splits(root, val_split)
    for folder in splits.values():
        if any(folder.glob("*.tar")):
            raise ValueError(f"data {str(folder)!r} holds tar files: use `webdataset` in place of `imagefolder`")
    names, read = {}, {}
    for split, folder in splits.items():
        names[split], read[split] = _read(folder)
    check_same_classes(root, names)
    train: Samples | None = read.get("train")
    test: Samples = read["test"]
    if val_split is not None:
        kept, held_out = split_by_class(test.labels, val_split)
        train, test = Subset(test, kept), Subset(test, held_out)
    return ImageDataset(
        name="imagefolder",
        class_names=names["test"],
        train=train,
        test=test,
        model="trevsnn_tiny",
    )


def _read(folder: Path) -> tuple[tuple[str, ...], FileSamples]:
    """Names of the classes, in order, and the images of a folder of class folders."""
    with os.scandir(folder) as entries:
        classes = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    if not classes:
        raise ValueError(
            f"data {str(folder)!r} has no class folders: put the images of each class in a folder of its own"
        )
    paths: list[bytes] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        files = sorted(_images(folder / name, folder))
        if not files:
            raise ValueError(
                f"class folder {str(folder / name)!r} holds no image ({', '.join(EXTENSIONS)}); add some or remove it"
            )
        paths += files
        labels += [label] * len(files)
    return tuple(classes), FileSamples(folder, np.array(paths), np.array(labels, np.int64))


def _images(folder: Path, root: Path) -> list[bytes]:
    def stop(error: OSError) -> None:
        raise error

    return [
        os.fsencode(os.path.relpath(os.path.join(place, name), root))
        for place, _, names in os.walk(folder, onerror=stop, followlinks=True)
        for name in names
        if name.lower().endswith(EXTENSIONS) and not name.startswith(".")
    ]
