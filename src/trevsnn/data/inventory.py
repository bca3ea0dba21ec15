"""What listing a data set found, and what it left out."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from trevsnn._util.suggest import shortened
from trevsnn.data.names import readable

if TYPE_CHECKING:
    from trevsnn.data.dataset import LabelledData, Samples

MOST_NAMED = 10_000
"""Of what is left out for one reason, so many are listed by name; all are counted."""

OTHER_KIND, HIDDEN, SYSTEM = "of other kinds", "hidden", "of the system"
OUTSIDE, BESIDE = "outside class folders", "beside the splits"
DEAD_LINK, LINK_LOOP, LISTED = "dead links", "link loops", "links to folders that are listed already"
FOLDERS, NO_FILE, UNREADABLE = "folders", "neither files nor folders", "folders that cannot be read"
COMPRESSED, SAME_SHARD = "compressed copies of shards", "links to shards that are listed already"
WITHOUT_PICTURE = "shards without a picture"
_OF_ONE = {
    COMPRESSED: "compressed copy of a shard",
    DEAD_LINK: "dead link",
    FOLDERS: "folder",
    LINK_LOOP: "link loop",
    LISTED: "link to a folder that is listed already",
    SAME_SHARD: "link to a shard that is listed already",
    NO_FILE: "neither file nor folder",
    WITHOUT_PICTURE: "shard without a picture",
    UNREADABLE: "folder that cannot be read",
}
_BY_EXTENSION = {OTHER_KIND}
_SELDOM_NAMED = {HIDDEN, OUTSIDE}
_LONGEST_EXTENSION = 8


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Things that were left out for the same reason."""

    why: str
    count: int
    names: tuple[str, ...]
    """Paths below the data's folder, at most `MOST_NAMED`; a folder's ends with a slash."""
    extensions: Mapping[str, int] = field(default_factory=dict)
    """How many files of which, where these are the reason."""

    def as_json(self) -> dict[str, Any]:
        """Everything, and how many are counted but not named."""
        kinds = {"extensions": dict(self.extensions)} if self.extensions else {}
        rest = {"names": list(self.names), "not_named": self.count - len(self.names)}
        return {"why": self.why, "count": self.count, **kinds, **rest}

    def __str__(self) -> str:
        about = [*self.extensions] if self.why in _BY_EXTENSION else () if self.why in _SELDOM_NAMED else self.names
        why = _OF_ONE.get(self.why, self.why) if self.count == 1 else self.why
        return f"{self.count:,} {why}" + (f" ({shortened(about)})" if about else "")


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """What is known of a listing besides the samples."""

    folder: Path | None = None
    """What was listed; None for data that come from no folder."""
    left_out: tuple[LeftOut, ...] = ()
    remarks: tuple[str, ...] = ()
    """What else is unusual."""


class Listing:
    """Takes note, while folders are listed, of what is left out.

    Args:
        unit: what samples lie in, in the plural.
        ways: by the ends of names, what files of other kinds are and how they could be used.
    """

    def __init__(self, unit: str = FOLDERS, ways: Mapping[str, str] = MappingProxyType({})) -> None:
        self.unit, self.ways = unit, ways
        self.counts: Counter[str] = Counter()
        self.names: dict[str, list[str]] = {}
        self.extensions: Counter[str] = Counter()
        self.remarks: list[str] = []
        self.listed: list[set[tuple[int, int]]] = []
        """What samples lie in, of each split, by what identifies them on the disk."""

    def leave_out(self, why: str, name: bytes) -> None:
        """A file or folder, by its path below the data's folder."""
        self.counts[why] += 1
        names = self.names.setdefault(why, [])
        if len(names) < MOST_NAMED:
            names.append(readable(name))
        if why in _BY_EXTENSION:
            _, dot, extension = name.rpartition(b"/")[2].rpartition(b".")
            known = dot and len(extension) <= _LONGEST_EXTENSION and extension.isalnum()
            self.extensions[f".{readable(extension.lower())}" if known else "no extension"] += 1

    def add(self, other: "Listing") -> None:
        """What another one left out."""
        for why, names in other.names.items():
            mine = self.names.setdefault(why, [])
            mine += names[: MOST_NAMED - len(mine)]
        self.counts += other.counts
        self.extensions += other.extensions
        self.remarks += other.remarks

    def left_out(self) -> tuple[LeftOut, ...]:
        """All of it, what there is most of first."""
        return tuple(
            LeftOut(
                why=why,
                count=count,
                names=tuple(sorted(self.names[why])),
                extensions=_ordered(self.extensions) if why in _BY_EXTENSION else {},
            )
            for why, count in _ordered(self.counts).items()
        )

    def ways_out(self) -> list[str]:
        """How files of other kinds could be used, as far as it is known."""
        return [f"{extension} is {self.ways[extension]}" for extension in self.ways if extension in self.extensions]

    def inventory(self, folder: Path) -> Inventory:
        """Of the folder, at the end."""
        twice = len(set.intersection(*self.listed)) if len(self.listed) > 1 else 0
        many = f"1 {self.unit.removesuffix('s')} is" if twice == 1 else f"{twice:,} {self.unit} are"
        remarks = [*self.remarks, *self.ways_out(), *([f"{many} both to train and to test on"] if twice else [])]
        return Inventory(folder=folder, left_out=self.left_out(), remarks=tuple(dict.fromkeys(remarks)))


def in_words(left_out: Sequence[LeftOut]) -> str:
    """What was left out in a line; empty for nothing.

    Examples:
        >>> in_words([LeftOut(why="hidden", count=2, names=("a/.x", "b/.y"))])
        'left out 2: 2 hidden'
    """
    total = sum(part.count for part in left_out)
    return f"left out {total:,}: {', '.join(map(str, left_out))}" if total else ""


def describe_data(data: "LabelledData") -> str:
    """What was found and what was left out, in a line: "digits: 1,437 to train on, 360 to test on, 10 classes"."""
    train = "" if data.train is None else f"{len(data.train):,} to train on, "
    split = f" ({data.split})" if data.split else ""
    found = f"{data.name}: {train}{len(data.test):,} to test on{split}, {_classes(len(data.class_names))}"
    return "; ".join(filter(None, [found, in_words(data.inventory.left_out), *_remarks(data)]))


def list_data(data: "LabelledData") -> dict[str, Any]:
    """The whole of it, as JSON has it: how many samples of each class every split has, and all that was left out."""
    splits = {"train": data.train, "test": data.test}
    inventory = data.inventory
    return {
        "dataset": data.name,
        "folder": None if inventory.folder is None else readable(bytes(inventory.folder)),
        "split": data.split or "its own",
        **{
            name: {"samples": len(samples), "classes": _per_class(samples, data.class_names)}
            for name, samples in splits.items()
            if samples is not None
        },
        "left_out": [part.as_json() for part in inventory.left_out],
        "remarks": _remarks(data),
    }


def _classes(count: int) -> str:
    return f"{count:,} class{'es' if count != 1 else ''}"


def _ordered(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _remarks(data: "LabelledData") -> list[str]:
    remarks = list(data.inventory.remarks)
    for samples, what in ((data.train, "train"), (data.test, "test")):
        if samples is not None:
            counts = _counts(samples, data.class_names)
            empty = [name for name, count in zip(data.class_names, counts, strict=True) if not count]
            if empty:
                remarks.append(f"nothing to {what} on in {_classes(len(empty))} ({shortened(empty)})")
    return remarks


def _per_class(samples: "Samples", names: Sequence[str]) -> list[dict[str, Any]]:
    return [{"class": name, "samples": count} for name, count in zip(names, _counts(samples, names), strict=True)]


def _counts(samples: "Samples", names: Sequence[str]) -> Iterable[int]:
    return np.bincount(samples.labels, minlength=len(names)).tolist()[: len(names)]
