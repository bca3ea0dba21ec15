"""The files that a command is given, by themselves or in folders."""

import os
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trevsnn.data import check_files


@dataclass
class Found:
    """What stands for the paths of a command line."""

    files: list[Path] = field(default_factory=list)
    """In the order of the paths; those of a folder by name, folder after folder."""
    others: Counter[str] = field(default_factory=Counter)
    """How many files in folders were left out, by why."""

    def left_out(self) -> str:
        """In words."""
        return f"left out: {self.others.total():,} files" + (
            f" ({', '.join(f'{number:,} {why}' for why, number in sorted(self.others.items()))})" if self.others else ""
        )


def find_files(paths: Sequence[Path], extensions: Collection[str]) -> Found:
    """Files as they are, and those with these extensions in folders, to the bottom; no folder is entered twice.

    Raises:
        ValueError: for a path that does not exist.
        OSError: for a folder that cannot be read.
    """
    found, entered = Found(), set()
    for path in paths:
        if not path.is_dir():
            check_files([path])
            found.files.append(path)
            continue
        for folder, folders, names in os.walk(path, onerror=_give_up, followlinks=True):
            real = os.path.realpath(folder)
            if real in entered:
                folders.clear()
                continue
            entered.add(real)
            found.others["hidden"] += sum(name.startswith(".") for name in names)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(name for name in names if not name.startswith(".")):
                file = Path(folder, name)
                if file.suffix.lower() in extensions:
                    found.files.append(file)
                else:
                    found.others[file.suffix.lower() or "without an extension"] += 1
    found.others = +found.others
    return found


def _give_up(error: OSError) -> None:
    raise error
