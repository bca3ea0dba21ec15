"""What a file of events leaves open, and its user decides."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from trevsnn.choices import TimeUnit

_LONGEST_NAME = 200


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How recordings are read.

    Raises:
        ValueError: for values that there are not.
    """

    sort_events: bool = False
    """Put events whose time steps back in the order of their time, in place of refusing the recording."""
    camera: str | None = None
    """Which of several cameras: its name, number or place, as the message lists them that asks for it."""
    time_unit: TimeUnit = "auto"
    """Of t in files of arrays: seconds, milliseconds, microseconds or nanoseconds. By default what the file says, else
    integers are microseconds and others seconds; what may be either is refused."""

    def __post_init__(self) -> None:
        if not isinstance(self.sort_events, bool):
            raise ValueError(f"sort_events={self.sort_events!r} must be true or false")
        if self.time_unit not in get_args(TimeUnit):
            raise ValueError(f"time_unit={self.time_unit!r} must be one of {', '.join(get_args(TimeUnit))}")
        named = isinstance(self.camera, str) and 0 < len(self.camera) <= _LONGEST_NAME
        if self.camera is not None and not named:
            raise ValueError(f"camera={self.camera!r} must be a name of at most {_LONGEST_NAME} characters")


AS_IT_STANDS = Reading()


def choose_camera(names: Mapping[str, str], reading: Reading) -> str:
    """Which of the sources of events in a file to read.

    Args:
        names: what each is called, perhaps a path, and more about it, parted by commas.
        reading: may say which, by the name, a part of its path, or a part of what is said about it.

    Raises:
        ValueError: listing them, when it says none of several, or one that there is not.
    """
    if reading.camera is None and len(names) == 1:
        return next(iter(names))
    listed = ", ".join(f"{name} ({about})" if about else name for name, about in names.items())
    if reading.camera is None:
        raise ValueError(f"it holds the events of {len(names)} cameras, {listed}: choose one by --camera NAME")
    wanted = reading.camera.lower().strip("/")
    matches = [name for name in names if name.lower().strip("/") == wanted] or [
        name for name, about in names.items() if wanted in (*name.lower().split("/"), *about.lower().split(", "))
    ]
    if len(matches) != 1:
        what = "fits several of" if matches else "is none of"
        raise ValueError(f"camera={reading.camera!r} {what} those that it holds: {listed}")
    return matches[0]
