"""Images in tar shards as the WebDataset format lays them out: KEY.jpg next to KEY.cls.

Every image's place in its shard is looked up once at the start, so that shards are read like files: in any order,
from any process, going on in the middle of an epoch. Within an epoch, images of one shard stay near each other
(`Samples.groups`), which keeps reading from disks and networks nearly sequential.
"""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from trevsnn._util.files import read_text
from trevsnn._util.suggest import shortened
from trevsnn.data.dataset import LabelledData, Samples
from trevsnn.data.inventory import COMPRESSED, DEAD_LINK, FOLDERS, LINK_LOOP, OTHER_KIND, SAME_SHARD, Listing
from trevsnn.data.listing import FILE, FOLDER, OWN, entries_of, identity_of, kind_of, leave_out_beside, passed_over
from trevsnn.data.names import as_seen, differ_in_case_only
from trevsnn.data.pictures import EXTENSIONS, BadImageError, open_picture
from trevsnn.data.splitting import TEST, TRAIN, check_same_classes, find_splits, split_data
from trevsnn.data.tar import read_shard

CLASS_NAMES = "classnames.txt"
_MOST_CLASSES = 10**5
"""That have a number, unless there are as many images: each has a name, and its share of the classifier."""
_COMPRESSED = re.compile(r"(.+?)(?:\.tar\.\w+|\.t(?:gz|xz|bz2|zst))", re.IGNORECASE)


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
    found = Listing("shards")
    splits = find_splits(root, val_split)
    if root not in splits.values():
        leave_out_beside(root, [CLASS_NAMES, *(folder.name for folder in splits.values())], found)
    read = {
        split: _read(folder, "" if folder == root else f"{folder.name}/", found) for split, folder in splits.items()
    }
    classes = {split: sorted(set(texts)) for split, (texts, _) in read.items()}
    numbered = all(text.isdecimal() for texts in classes.values() for text in texts)
    if numbered:
        count = 1 + max(int(text) for texts in classes.values() for text in texts)
        images = sum(len(texts) for texts, _ in read.values())
        if count > max(_MOST_CLASSES, images):
            raise ValueError(
                f"data {str(root)!r} has a class of number {count - 1:,} and {images:,} images; number classes from 0 "
                "on, or use names"
            )
        names = _names(root, count, found)
        index = {text: int(text) for texts in classes.values() for text in texts}
    else:
        check_same_classes(root, classes)
        names = tuple(classes["test"])
        if mixed := [name for name in names if name.lstrip("+-").isdecimal()]:
            others = [name for name in names if name not in mixed]
            raise ValueError(
                f"data {str(root)!r} has classes {shortened(mixed)}"
                f"{f' and {shortened(others)}' if others else ''}: give numbers from 0 on to all of them, or names"
            )
        if alike := differ_in_case_only(names, names):
            found.remarks.append(f"{alike[0][0]!r} and {alike[0][1]!r} are two classes, of large and small letters")
        index = {name: number for number, name in enumerate(names)}
    samples: dict[str, Samples] = {}
    for split, (texts, make) in read.items():
        labels = np.array([index[text] for text in texts], np.int64)
        samples[split] = make(labels)
    return split_data(
        samples,
        val_split,
        name="webdataset",
        class_names=names,
        model="trevsnn_tiny",
        inventory=found.inventory(root),
    )


def _names(root: Path, count: int, found: Listing) -> tuple[str, ...]:
    """Of so many numbered classes; one that stands there twice, as in ImageNet, has its number behind it."""
    file = root / CLASS_NAMES
    if not file.is_file():
        return tuple(map(str, range(count)))
    names = tuple(map(as_seen, read_text(file).rstrip().split("\n")))
    if len(names) < count:
        raise ValueError(f"{str(file)!r} names {len(names)} classes, the shards have {count}; add the others")
    if "" in names:
        raise ValueError(f"{str(file)!r} has an empty line {names.index('') + 1}; give a name, a line for each class")
    twice = {name for name, times in Counter(names).items() if times > 1}
    if twice:
        found.remarks.append(
            f"of several classes called {shortened(sorted(twice))}, each has its number behind its name"
        )
    return tuple(f"{name} ({number})" if name in twice else name for number, name in enumerate(names))


def _read(folder: Path, below: str, found: Listing):
    """The class of every image in the shards of a folder, as text, and a function from labels to the samples."""
    shards = _shards(folder, below, found)
    texts: list[str] = []
    keys: list[bytes] = []
    places: list[tuple[int, int]] = []
    groups: list[int] = []
    for shard in shards:
        samples = read_shard(shard, f"{below}{shard.name}", found)
        for sample in samples:
            texts.append(sample.label)
            keys.append(sample.name)
            places.append((sample.start, sample.size))
        groups.append(len(samples))
    if not texts:
        raise ValueError(f"data {str(folder)!r} has shards without an image ({shortened(EXTENSIONS)})")

    def make(labels: np.ndarray) -> TarSamples:
        return TarSamples(shards, groups, np.array(keys), np.array(places, np.int64), labels)

    return texts, make


def _shards(folder: Path, below: str, found: Listing) -> list[Path]:
    """The .tar files of a folder.

    Raises:
        ValueError: when there is none, one is a dead link, or some are compressed and not there as .tar files too.
    """
    shards: dict[tuple[int, int], Path] = {}
    compressed, links = [], []
    others = Listing()
    for entry in sorted(entries_of(os.fsencode(folder)), key=lambda entry: (entry.is_symlink(), entry.name)):
        name, kind = os.fsdecode(entry.name), passed_over(entry.name) or kind_of(entry)
        if kind == FILE and name.lower().endswith(".tar"):
            identity = identity_of(os.fsencode(folder / name))
            if identity in shards:
                links.append(folder / name)
            shards.setdefault(identity, folder / name)
        elif name.lower().endswith(".tar") and kind in (DEAD_LINK, LINK_LOOP):
            raise ValueError(f"shard {str(folder / name)!r} is a dead link: bring back what it leads to, or remove it")
        elif kind == FILE and (match := _COMPRESSED.fullmatch(name)):
            compressed.append((name, match[1]))
        elif name not in (CLASS_NAMES, *TRAIN, *TEST) and entry.name != OWN:
            slash = b"/" if kind == FOLDER else b""
            why = {FILE: OTHER_KIND, FOLDER: FOLDERS}.get(kind, kind)
            others.leave_out(why, os.fsencode(below) + entry.name + slash)
    known = {shard.stem for shard in shards.values()}
    if alone := sorted(name for name, stem in compressed if stem not in known):
        raise ValueError(
            f"data {str(folder)!r} holds compressed shards, {shortened(alone)}, which cannot be read at any place: "
            "unpack them to .tar (gunzip, unzstd ...), or move them elsewhere"
        )
    for name, _ in compressed:
        found.leave_out(COMPRESSED, os.fsencode(below + name))
    if not shards:
        there = ", ".join(map(str, others.left_out())) or "nothing"
        raise ValueError(f"data {str(folder)!r} holds no .tar shards but {there}: give the folder that they lie in")
    for shard in links:
        found.leave_out(SAME_SHARD, os.fsencode(below + shard.name))
    found.add(others)
    found.listed.append(set(shards))
    return sorted(shards.values())
