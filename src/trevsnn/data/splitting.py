"""Which images are to train on and which to test on."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trevsnn._util.suggest import shortened
from trevsnn.data.dataset import LabelledData, Samples, Source
from trevsnn.data.listing import FOLDER, entries_of, extension_of, kind_of, passed_over
from trevsnn.data.names import differ_in_case_only
from trevsnn.data.seeding import seeded

if TYPE_CHECKING:
    from trevsnn.data.events.reading import Reading

TRAIN, TEST = ("train", "training"), ("val", "validation", "valid", "test")
SPLIT_SEED = 0


class Subset(Samples):
    """Some of the images of other samples.

    Args:
        samples: all of them.
        indices: those that belong, ascending.
    """

    def __init__(self, samples: Samples, indices: np.ndarray):
        self.samples, self.indices = samples, indices
        self.labels = samples.labels[indices]
        ends = np.searchsorted(indices, np.cumsum(samples.group_sizes()))
        self.sizes = [int(size) for size in np.diff(ends, prepend=0) if size]

    def group_sizes(self) -> Sequence[int]:
        return self.sizes

    def source(self, index: int) -> Source | None:
        return self.samples.source(int(self.indices[index]))

    def read_by(self, reading: "Reading") -> "Subset":
        return Subset(self.samples.read_by(reading), self.indices)

    def open(self, index: int, channels: int) -> Any:
        return self.samples.open(int(self.indices[index]), channels)


def spread(samples: Samples, count: int) -> Samples:
    """So many of them (all, where there are fewer), evenly spread over the order in which they lie.

    Raises:
        ValueError: for a count below 1.
    """
    if count < 1:
        raise ValueError(f"images={count} must be at least 1")
    count = min(count, len(samples))
    return Subset(samples, np.arange(count) * len(samples) // count)


def find_splits(root: Path, val_split: float | None) -> dict[str, Path]:
    """The folders of "train" and "test" below a folder, in large or small letters; without them, the folder itself is
    "test".

    Raises:
        ValueError: when the folder does not exist, only part of it is there, or val_split is out of range.
    """
    if not root.is_dir():
        raise ValueError(f"data {str(root)!r} {'is not a folder' if root.exists() else 'does not exist'}")
    spellings: dict[str, list[str]] = {}
    for entry in entries_of(os.fsencode(root)):
        name = os.fsdecode(entry.name)
        if name.lower() in (*TRAIN, *TEST) and _holds_classes(entry):
            spellings.setdefault(name.lower(), []).append(name)
    found = {}
    for split, names in (("train", TRAIN), ("test", TEST)):
        name = next((name for name in names if name in spellings), None)
        if name is not None:
            if len(spellings[name]) > 1:
                raise ValueError(
                    f"data {str(root)!r} has {' and '.join(map(repr, sorted(spellings[name])))}: put them together, or "
                    "give one of them another name"
                )
            found[split] = root / spellings[name][0]
    if val_split is not None:
        if not 0 < val_split < 1:
            raise ValueError(f"val_split={val_split!r} must be more than 0 and less than 1")
        if "test" in found and "train" in found:
            raise ValueError(
                f"data {str(root)!r} has {found['test'].name}/ to test on; leave --val-split out, or give "
                f"{str(found['train'])!r} as data"
            )
        return {"test": found.get("train", found.get("test", root))}
    if "train" in found and "test" not in found:
        name = found["train"].name
        raise ValueError(f"data {str(root)!r} has {name}/ but no val/; add it, or give --val-split 0.1")
    return found or {"test": root}


def _holds_classes(entry: os.DirEntry[bytes]) -> bool:
    """Whether it is a folder of folders or shards, and no class of that name."""
    if kind_of(entry) != FOLDER:
        return False
    return any(
        passed_over(part.name) is None and (extension_of(part.name) == b".tar" or kind_of(part) == FOLDER)
        for part in entries_of(entry.path)
    )


def check_same_classes(root: Path, names: Mapping[str, Sequence[str]]) -> None:
    """Refuse splits with other classes than each other.

    Raises:
        ValueError: naming some that one of them lacks.
    """
    if "train" in names and set(names["train"]) != set(names["test"]):
        train, test = set(names["train"]), set(names["test"])
        parts = [
            f"only to {what} on: {shortened(sorted(only))}"
            for what, only in (("train", train - test), ("test", test - train))
            if only
        ]
        if alike := differ_in_case_only(sorted(train - test), test - train):
            parts.append(f"{alike[0][0]!r} and {alike[0][1]!r} differ in large and small letters only: rename one")
        raise ValueError(f"data {str(root)!r} has other classes to train on than to test on; {'; '.join(parts)}")


def split_data(read: Mapping[str, Samples], val_split: float | None, **about: Any) -> LabelledData:
    """What was read as a data set, split as it is or as was asked for.

    Args:
        read: samples of "test" and perhaps of "train".
        val_split: share of every class's "test" to test on, the rest being to train on; None for all.
        **about: the other fields of the data set.
    """
    if val_split is None:
        return LabelledData(train=read.get("train"), test=read["test"], **about)
    kept, held_out = split_by_class(read["test"].labels, val_split, about["class_names"])
    how = f"{val_split:.4g} of each class, drawn with seed {SPLIT_SEED}"
    return LabelledData(train=Subset(read["test"], kept), test=Subset(read["test"], held_out), split=how, **about)


def split_by_class(labels: np.ndarray, share: float, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Indices to train on and to test on: of every class about this share, at least one image, the same at every call.

    Raises:
        ValueError: for a class of a single image.
    """
    test = np.zeros(len(labels), bool)
    generator = np.random.default_rng(seeded(SPLIT_SEED))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise ValueError(
                f"a class of 1 image cannot be split, {names[label]!r}; add images to it, or leave --val-split out"
            )
        count = min(max(1, round(share * len(members))), len(members) - 1)
        test[generator.permutation(members)[:count]] = True
    return np.flatnonzero(~test), np.flatnonzero(test)
