"""Files in folders: all that are of the right kinds, and why each other one is left out.

No real folder is listed twice, so links that lead back end the search there. Nothing is asked of the disk about a file
that is not a link: what kind of thing it is comes with the folder's contents.
"""

import errno
import os
import stat
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from trevsnn._util.suggest import shortened
from trevsnn.data.inventory import (
    BESIDE,
    DEAD_LINK,
    HIDDEN,
    LINK_LOOP,
    LISTED,
    NO_FILE,
    OTHER_KIND,
    OUTSIDE,
    SYSTEM,
    UNREADABLE,
    Listing,
)

FILE, FOLDER = "file", "folder"
OWN = b".frames"
"""Made here, and no news (see `trevsnn.training.event_frames`)."""
_OF_SYSTEMS = {
    b"$recycle.bin",
    b"#recycle",
    b"@eadir",
    b"__macosx",
    b"desktop.ini",
    b"ehthumbs.db",
    b"icon\r",
    b"lost+found",
    b"system volume information",
    b"thumbs.db",
}


def passed_over(name: bytes) -> str | None:
    """Why a file or folder of this name is left out whatever it is; None where it is not."""
    if name.startswith(b"."):
        return HIDDEN
    return SYSTEM if name.lower() in _OF_SYSTEMS else None


def extension_of(name: bytes) -> bytes:
    """With its dot and in small letters; empty for none."""
    return name[name.rfind(b".") :].lower() if b"." in name else b""


def kind_of(entry: os.DirEntry[bytes]) -> str:
    """`FILE` or `FOLDER`, through links, or why it is neither."""
    if entry.is_file(follow_symlinks=False):
        return FILE
    try:
        mode = entry.stat().st_mode
    except OSError as error:
        return LINK_LOOP if error.errno == errno.ELOOP else DEAD_LINK
    return FOLDER if stat.S_ISDIR(mode) else FILE if stat.S_ISREG(mode) else NO_FILE


class _Place(NamedTuple):
    """A folder that is to be listed."""

    path: bytes
    name: bytes
    """Below the listed folder."""
    into: list[bytes]
    """Takes the names of its files."""
    listing: Listing


class _Walk:
    """Through folders to the bottom, into no real one twice.

    Args:
        folder: what lies above it is not entered either.
        extensions: how the names of the files end, in small letters.
        prefix: before the names of what is left out.
    """

    def __init__(self, folder: Path, extensions: Collection[str], prefix: bytes = b""):
        self.extensions, self.prefix = frozenset(map(os.fsencode, extensions)), prefix
        self.above = {identity_of(os.fsencode(place)) for place in folder.absolute().parents}
        self.listed: set[tuple[int, int]] = set()
        self._folders: deque[_Place] = deque()
        self._links: deque[_Place] = deque()

    def list(self, places: Sequence[_Place]) -> None:
        """Find the files of some folders.

        Raises:
            OSError: when one of these cannot be read.
        """
        for place in places:
            self._list(place, needed=True)
        while self._folders or self._links:  # links last: the class of what lies in real folders is beyond doubt
            self._list(self._folders.popleft() if self._folders else self._links.popleft(), needed=False)
        for place in places:
            place.into.sort()

    def _list(self, place: _Place, needed: bool) -> None:
        identity = identity_of(place.path)
        if identity in self.listed or identity in self.above:
            why = LINK_LOOP if _leads_back(place.path) else LISTED
            place.listing.leave_out(why, self.prefix + place.name + b"/")
            return
        self.listed.add(identity)
        try:
            entries = entries_of(place.path)
        except OSError:
            if needed:
                raise
            place.listing.leave_out(UNREADABLE, self.prefix + place.name + b"/")
            return
        before = place.name + b"/" if place.name else b""
        for entry in entries:
            kind, name = passed_over(entry.name) or kind_of(entry), before + entry.name
            if kind == FOLDER:
                inner = place._replace(path=entry.path, name=name)
                (self._links if entry.is_symlink() else self._folders).append(inner)
            elif kind == FILE and extension_of(entry.name) in self.extensions:
                place.into.append(name)
            else:
                self.leave_out(OTHER_KIND if kind == FILE else kind, entry, name, place.listing)

    def leave_out(self, why: str, entry: os.DirEntry[bytes], name: bytes, listing: Listing) -> None:
        """Take note of what is not listed."""
        if entry.name != OWN:
            listing.leave_out(why, self.prefix + name + _slash(entry))


def list_folder(folder: Path, extensions: Collection[str], found: Listing) -> list[Path]:
    """The files of a folder and the folders in it, in order.

    Raises:
        OSError: when it cannot be read.
    """
    place = _Place(os.fsencode(folder), b"", [], found)
    _Walk(folder, extensions).list([place])
    return [folder / os.fsdecode(name) for name in place.into]


class ClassFolders:
    """The class folders of a folder, and their files.

    Args:
        folder: what to list.
        extensions: how the names of the files end, in small letters.
        found: takes note of what is left out.
        name: of the folder, below the data's own; empty for that one itself.

    Raises:
        ValueError: when two are the same folder, or one is a dead link.
    """

    names: list[bytes]

    def __init__(self, folder: Path, extensions: Collection[str], found: Listing, name: str = ""):
        self.folder, self.found = os.fsencode(folder), found
        self.kinds = shortened(list(extensions))
        self.walk = walk = _Walk(folder, extensions, os.fsencode(f"{name}/") if name else b"")
        walk.above.add(identity_of(self.folder))
        classes: dict[tuple[int, int], bytes] = {}
        for entry in entries_of(self.folder):
            kind = passed_over(entry.name) or kind_of(entry)
            if kind in (DEAD_LINK, LINK_LOOP):
                raise ValueError(
                    f"class folder {os.fsdecode(entry.path)!r} is a link to {os.fsdecode(os.readlink(entry.path))!r}, "
                    "which is not there: bring that back, or remove the link"
                )
            if kind != FOLDER:
                walk.leave_out(OUTSIDE if kind == FILE else kind, entry, entry.name, found)
                continue
            identity = identity_of(entry.path)
            if identity in walk.above:
                walk.leave_out(LINK_LOOP, entry, entry.name, found)
            elif identity in classes:
                raise ValueError(
                    f"class folders {os.fsdecode(classes[identity])!r} and {os.fsdecode(entry.name)!r} of "
                    f"{str(folder)!r} are the same folder: remove the one that is a link"
                )
            else:
                classes[identity] = entry.name
        self.names = list(classes.values())

    def files(self, classes: Iterable[bytes]) -> dict[bytes, list[bytes]]:
        """Paths of the files of each class below the folder, in order.

        Raises:
            ValueError: for a class without one, or that cannot be read.
        """
        places = {
            name: _Place(os.path.join(self.folder, name), name, [], Listing(ways=self.found.ways)) for name in classes
        }
        try:
            self.walk.list(list(places.values()))
        except OSError as error:
            raise ValueError(
                f"class folder {os.fsdecode(error.filename)!r} cannot be read: {error.strerror}"
            ) from error
        self.found.listed.append(self.walk.listed)
        for place in places.values():
            self.found.add(place.listing)
            if not place.into:
                raise ValueError(self._describe_empty(place))
        return {name: place.into for name, place in places.items()}

    def _describe_empty(self, place: _Place) -> str:
        there = ", ".join(map(str, place.listing.left_out())) or "nothing"
        return (
            f"class folder {os.fsdecode(place.path)!r} holds no file of the right kind ({self.kinds}) but {there}: add "
            "some, or move it elsewhere (a folder whose name begins with a dot is passed over)"
            + "".join(f"; {way}" for way in place.listing.ways_out())
        )


def leave_out_beside(root: Path, used: Collection[str], found: Listing) -> None:
    """Take note of what lies in the data's folder besides what is used of it."""
    for entry in entries_of(os.fsencode(root)):
        if os.fsdecode(entry.name) not in used and entry.name != OWN:
            found.leave_out(passed_over(entry.name) or BESIDE, entry.name + _slash(entry))


def entries_of(folder: bytes) -> list[os.DirEntry[bytes]]:
    """What lies in a folder."""
    with os.scandir(folder) as entries:
        return list(entries)


def _slash(entry: os.DirEntry[bytes]) -> bytes:
    return b"/" if entry.is_dir(follow_symlinks=False) else b""


def identity_of(path: bytes) -> tuple[int, int]:
    """What is the same for a file or folder and links to it."""
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _leads_back(link: bytes) -> bool:
    """Whether a link leads to a folder that it lies in."""
    target, place = os.path.realpath(link), os.path.realpath(os.path.dirname(link))
    return target == place or place.startswith(target.rstrip(b"/") + b"/")
