"""The pictures of a tar shard as the WebDataset format lays them out, and where in the shard each of them is.

A key ends, as WebDataset has it, at the first dot of a file's name: KEY.jpg is the picture and KEY.cls or KEY.json its
class; KEY.seg.png is another field of the same sample and left out.
"""

import io
import json
import posixpath
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from trevsnn._util.files import ClippedReader, decode_text
from trevsnn._util.suggest import shortened
from trevsnn.data.inventory import DEAD_LINK, NO_FILE, OTHER_KIND, WITHOUT_PICTURE, Listing
from trevsnn.data.listing import passed_over
from trevsnn.data.names import as_seen
from trevsnn.data.pictures import EXTENSIONS
from trevsnn.models.file_kind import describe_file

LeaveOut = Callable[[str, str], None]
"""Takes the reason, and the name of what is left out."""
FIELDS, LABELS_ALONE = "other fields of samples", "classes without a picture"
_LABELS = (".cls", ".json")
_PICTURES = frozenset(EXTENSIONS)
_LONGEST, _MOST_DIGITS = 2**20, 18
"""Bytes of a file that holds a class, and digits of its number."""
_NO_TAR = {"empty", "html", "lfs", "packed", "xml"}
"""What lies in place of archives now and then."""
_DIGITS = re.compile(rb"\d{1000}")
_MOST_LINKS = 40
"""From one to the next, as systems follow them."""
_END = 512
"""Bytes of a block; two of zeros are the end of an archive."""


class _CheckedInfo(tarfile.TarInfo):
    """A member whose extended header has no endless number: looking for the encoding in one takes Python before 3.11.10
    time as the square of its size."""

    def _proc_pax(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        file = tar.fileobj
        assert file is not None, "as it is read from"
        start = file.tell()
        header = file.read(self.size)
        file.seek(start)
        if _DIGITS.search(header):
            raise tarfile.ReadError("an extended header has a number of more digits than there are")
        return super()._proc_pax(tar)  # type: ignore[misc]


class TarSample(NamedTuple):
    """A picture in a shard."""

    name: bytes
    start: int
    size: int
    label: str


@dataclass
class _Member:
    name: str
    start: int
    size: int
    target: str | None = None
    """What it is a link to."""


@dataclass
class _Sample:
    """What has the same key."""

    pictures: list[_Member] = field(default_factory=list)
    labels: dict[str, str | ValueError | None] = field(default_factory=dict)
    """By extension; None in place of a .json without a label, and why one cannot be read."""
    fields: list[str] = field(default_factory=list)
    """Names of what else there is."""


def read_shard(shard: Path, place: str, found: Listing) -> list[TarSample]:
    """The pictures, in the order in which they lie.

    Args:
        shard: the file.
        place: its path below the data's folder.
        found: takes note of what is left out.

    Raises:
        ValueError: when it cannot be read, keys are repeated, a key has several pictures, or a picture no class.
    """
    samples: dict[str, _Sample] = {}
    places: dict[str, _Member] = {}

    def leave_out(why: str, name: str) -> None:
        found.leave_out(why, f"{place}/{name}".encode(errors="surrogateescape"))

    try:
        length = shard.stat().st_size
        with ClippedReader(io.FileIO(shard)) as file, _opened(file) as tar:
            for info in tar:
                if info.isreg() and not 0 <= info.size <= length - info.offset_data:
                    raise ValueError(f"{info.name!r} is longer than the rest of it; it is damaged or cut off")
                if info.isdir():
                    continue
                member = _member(info)
                parts = member.name.encode(errors="surrogateescape").split(b"/")
                why = next(filter(None, map(passed_over, parts)), None)
                why = why or (None if info.isreg() or member.target is not None else NO_FILE)
                if why is None and (info.sparse or member.name in places):
                    what = "a sparse file, which cannot be read at its place" if info.sparse else "there twice"
                    raise ValueError(f"{info.name!r} is {what}; write the shard anew")
                if why is not None:
                    leave_out(why, info.name)
                    continue
                places[member.name] = member
                _add(samples, tar, info, member, leave_out)
            _check_end(shard, tar.offset, place, found)
    except RecursionError as error:  # headers of headers
        raise ValueError(f"shard {str(shard)!r} cannot be read: it is damaged, its headers go on and on") from error
    except tarfile.ReadError as error:
        kind = describe_file(shard)
        what = f"{kind}" if kind.name in _NO_TAR else f"is damaged or cut off ({error}); copy it again"
        raise ValueError(f"shard {str(shard)!r} {what}") from error
    except (tarfile.TarError, OSError, ValueError, LookupError, OverflowError) as error:
        raise ValueError(f"shard {str(shard)!r} cannot be read: {error}") from error
    _check_keys(shard, samples)
    pictures = list(_pictures(shard, samples, places, leave_out))
    if not pictures:
        found.leave_out(WITHOUT_PICTURE, place.encode(errors="surrogateescape"))
    return pictures


def _opened(file: io.BufferedReader) -> tarfile.TarFile:
    return tarfile.open(fileobj=file, mode="r:", tarinfo=_CheckedInfo)


def _member(info: tarfile.TarInfo) -> _Member:
    name = info.name.removeprefix("./")
    target = None
    if info.islnk():
        target = info.linkname.removeprefix("./")
    elif info.issym():
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name), info.linkname))
    return _Member(name, info.offset_data, info.size, target)


def _add(
    samples: dict[str, _Sample], tar: tarfile.TarFile, info: tarfile.TarInfo, member: _Member, leave_out: LeaveOut
) -> None:
    """A file to the sample that it belongs to."""
    folder, slash, base = member.name.rpartition("/")
    stem, dot, extension = base.partition(".")
    extension = f".{extension.lower()}"
    if not dot:
        leave_out(OTHER_KIND, info.name)
        return
    sample = samples.setdefault(f"{folder}{slash}{stem}", _Sample())
    if extension in _PICTURES:
        sample.pictures.append(member)
    elif extension in _LABELS:
        try:
            file = tar.extractfile(info)
            content = b"" if file is None else file.read(_LONGEST + 1)
            if len(content) > _LONGEST:
                raise ValueError(f"more than {_LONGEST:,} bytes are too many")
            sample.labels[extension] = _label(extension, decode_text(content))
        except (ValueError, RecursionError) as error:  # which does not matter where there is another
            sample.labels[extension] = ValueError(f"the class in {info.name!r} cannot be read: {error}")
    else:
        sample.fields.append(info.name)


def _label(extension: str, text: str) -> str | None:
    """The class that a file gives, as text; None where it gives none."""
    if extension == ".cls":
        label = as_seen(text)
    else:
        values = json.loads(text)
        label = values.get("label") if isinstance(values, dict) else None
        if label is None:
            return None
        if isinstance(label, float) and label.is_integer():
            label = int(label)
        if isinstance(label, bool) or not isinstance(label, int | str):
            raise ValueError(f"the label {label!r} is neither number nor name")
        label = as_seen(str(label))
    if not label:
        raise ValueError("it is empty")
    if label.isdecimal() and len(label) > _MOST_DIGITS:
        raise ValueError(f"{label[:_MOST_DIGITS]}... has {len(label):,} digits")
    return label


def _check_end(shard: Path, end: int, place: str, found: Listing) -> None:
    """Refuse what follows the end of an archive, and note where it has no end.

    Raises:
        ValueError: for two archives in one file.
    """
    with shard.open("rb") as file:
        file.seek(end)
        rest = file.read(_END)
        if not rest:
            found.remarks.append(f"shard {place} has no end mark and may be cut off")
        while rest:
            if any(rest):
                at_end = file.tell() == end + len(rest)
                what = "is damaged or cut off" if at_end else "has ended, but more follows, perhaps another shard"
                raise ValueError(f"it {what} at byte {end:,}; write it anew, each shard as a file of its own")
            rest = file.read(2**20)


def _check_keys(shard: Path, samples: dict[str, _Sample]) -> None:
    """Refuse keys of which it is not clear what they are.

    Raises:
        ValueError: naming one.
    """
    for key, sample in samples.items():
        fields = {name.lower() for name in sample.fields}
        if len(sample.pictures) > 1:
            names = shortened([repr(member.name) for member in sample.pictures])
            raise ValueError(f"shard {str(shard)!r} has several pictures of the key {key!r}, {names}: keep one of them")
        for name in sample.fields:
            stem, extension = posixpath.splitext(name)
            classes = {f"{stem}{ending}".lower() for ending in _LABELS}
            if extension.lower() in _PICTURES and (not sample.pictures or classes & fields):
                raise ValueError(
                    f"shard {str(shard)!r} has {name!r}, whose key would end at its first dot, {key!r}: write the "
                    "shard anew without dots in keys"
                )


def _pictures(
    shard: Path, samples: dict[str, _Sample], places: dict[str, _Member], leave_out: LeaveOut
) -> Iterator[TarSample]:
    for key, sample in samples.items():
        label = next((text for ending in _LABELS if (text := sample.labels.get(ending)) is not None), None)
        others = FIELDS if sample.pictures else OTHER_KIND
        for name in sample.fields:
            leave_out(others, name)
        if not sample.pictures:
            for ending, text in sample.labels.items():
                leave_out(LABELS_ALONE if text is not None else OTHER_KIND, f"{key}{ending}")
            continue
        (member,) = sample.pictures
        if isinstance(label, ValueError):
            raise ValueError(f"shard {str(shard)!r}: {label}") from label
        if label is None:
            raise ValueError(
                f"shard {str(shard)!r} has no class for {member.name!r}: {key}.cls is missing, or a label in {key}.json"
            )
        content, steps = member, 0
        while content is not None and content.target is not None and steps < _MOST_LINKS:
            content, steps = places.get(content.target), steps + 1
        if content is None or content.target is not None:
            leave_out(DEAD_LINK, member.name)
            continue
        yield TarSample(member.name.encode(errors="surrogateescape"), content.start, content.size, label)
