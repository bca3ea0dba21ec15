"""Images in tar shards as the WebDataset format lays them out: KEY.jpg next to KEY.cls.

Every image's place in its shard is looked up once at the start, so that shards are read like files: in any order,
from any process, going on in the middle of an epoch. Within an epoch, images of one shard stay near each other
(`Samples.groups`), which keeps reading from disks and networks nearly sequential.
"""

import json
import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from trevsnn.data.dataset import LabelledData, Samples
from trevsnn.data.pictures import EXTENSIONS, BadImageError, open_picture
from trevsnn.data.splitting import check_same_classes, find_splits, train_and_test

CLASS_NAMES = "classnames.txt"
_MOST_CLASSES = 10**6


@dataclass(frozen=True, eq=False)
class TarSamples(Samples):
    """Images at known places in tar files."""

    shards: Sequence[Path]
    sizes: Sequence[int]
    """Images in each."""
    keys: np.ndarray
    """(N,), names within the shard, bytes."""
    places: np.ndarray
    """(N, 2), first byte and number of bytes."""
    labels: np.ndarray

    def group_sizes(self) -> Sequence[int]:
        return self.sizes

    def open(self, index: int, channels: int) -> Image.Image:
        shard = self.shards[int(np.searchsorted(np.cumsum(self.sizes), index, side="right"))]
        start, size = map(int, self.places[index])
        name = f"{shard}: {os.fsdecode(self.keys[index])}"
        try:
            with shard.open("rb") as file:
                file.seek(start)
                content = file.read(size)
        except OSError as error:
            raise BadImageError(f"{name!r} cannot be read: {error.strerror}") from error
        return open_picture(content, channels, name)


def tar_shards(root: Path, val_split: float | None = None) -> LabelledData:
    """Shards below train/ and val/; or, without these, shards, a share of whose images is for testing.

    A class is a number in KEY.cls, or a name; the numbers have names in classnames.txt, a line each, if the folder has
    such a file.

    Raises:
        ValueError: when the folder does not exist or is not laid out so, or an image has no class.
    """
    splits = find_splits(root, val_split)
    read = {split: _read(folder) for split, folder in splits.items()}
    classes = {split: sorted(set(texts)) for split, (texts, _) in read.items()}
    numbered = all(text.isdecimal() for texts in classes.values() for text in texts)
    if numbered:
        count = 1 + max(int(text) for texts in classes.values() for text in texts)
        if count > _MOST_CLASSES:
            raise ValueError(
                f"data {str(root)!r} has a class of number {count - 1}; number classes from 0 on, or use names"
            )
        names = _names(root, count)
        index = {str(number): number for number in range(count)}
    else:
        check_same_classes(root, classes)
        names = tuple(classes["test"])
        index = {name: number for number, name in enumerate(names)}
    samples: dict[str, Samples] = {}
    for split, (texts, make) in read.items():
        labels = np.array([index[str(int(text)) if numbered else text] for text in texts], np.int64)
        samples[split] = make(labels)
    train, test, split = train_and_test(samples, val_split)
    return LabelledData(name="webdataset", class_names=names, train=train, test=test, split=split, model="trevsnn_tiny")


def _names(root: Path, count: int) -> tuple[str, ...]:
    file = root / CLASS_NAMES
    if not file.is_file():
        return tuple(map(str, range(count)))
    names = tuple(file.read_text(encoding="utf-8").split("\n"))
    names = names[:-1] if names[-1] == "" else names
    if len(names) < count:
        raise ValueError(f"{str(file)!r} names {len(names)} classes, the shards have {count}; add the others")
    return names


def _read(folder: Path):
    """The class of every image in the shards of a folder, as text, and a function from labels to the samples."""
    shards = sorted(folder.glob("*.tar"))
    if not shards:
        raise ValueError(f"data {str(folder)!r} holds no .tar shards")
    texts: list[str] = []
    keys: list[bytes] = []
    places: list[tuple[int, int]] = []
    groups: list[int] = []
    for shard in shards:
        before = len(texts)
        images, classes = _members(shard)
        for key, (name, start, size) in images.items():
            if key not in classes:
                raise ValueError(f"shard {str(shard)!r} has no class for {name!r}: {key}.cls is missing")
            texts.append(classes[key])
            keys.append(os.fsencode(name))
            places.append((start, size))
        groups.append(len(texts) - before)
    if not texts:
        raise ValueError(f"data {str(folder)!r} has shards without an image ({', '.join(EXTENSIONS)})")

    def make(labels: np.ndarray) -> TarSamples:
        return TarSamples(shards, groups, np.array(keys), np.array(places, np.int64), labels)

    return texts, make


def _members(shard: Path) -> tuple[dict[str, tuple[str, int, int]], dict[str, str]]:
    """Of every key of a shard: its image (name, first byte, bytes), and its class as text."""
    images, classes = {}, {}
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                if not member.isfile():
                    continue
                folder, _, base = member.name.rpartition("/")
                stem, _, extension = base.partition(".")
                key, extension = f"{folder}/{stem}" if folder else stem, f".{extension.lower()}"
                if extension in EXTENSIONS:
                    images[key] = member.name, member.offset_data, member.size
                elif extension in (".cls", ".json"):
                    content = tar.extractfile(member)
                    assert content is not None, "a file"
                    text = content.read().decode("utf-8").strip()
                    if extension == ".json":
                        label = json.loads(text).get("label")
                        text = None if label is None else str(label)
                    if text is not None and not (extension == ".json" and key in classes):
                        classes[key] = text
    except (tarfile.TarError, OSError, ValueError, RecursionError, AttributeError) as error:
        raise ValueError(f"shard {str(shard)!r} cannot be read: {error}") from error
    return images, classes
