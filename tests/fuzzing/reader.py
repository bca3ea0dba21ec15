"""What the campaign needs to know about a reader."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from fuzzing.mutation import havoc


def size_of(path: Path) -> int:
    """The content of a file that is not compressed."""
    return path.stat().st_size


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Something of ours that reads files which others wrote."""

    name: str
    file: str
    """What an input is called."""
    seeds: Callable[[], Sequence[bytes]]
    """Right inputs, small ones; none where a package that writes them is missing."""
    read: Callable[[Path], object]
    """Raises a ValueError or OSError of one line that names the file, for whatever is wrong with it."""
    restructure: Callable[[Random, bytes], bytes] | None = None
    """A wrong input that is well-formed on the surface, with sums and lengths that agree."""
    words: Sequence[bytes] = ()
    """That mean something in the format."""
    content: Callable[[Path], int] = size_of
    """Bytes that the file holds once it is unpacked: what the bound of memory is about."""
    watched: Sequence[str] = ()
    """Of the names of other files than the package's, whose lines tell what is new."""
    command: Callable[[Path], Sequence[object]] | None = None
    """A command line that reads the file."""
    large: Callable[[], Mapping[str, bytes]] | None = None
    """Right inputs of megabytes, by what they are: most of what a reader takes for them is in proportion."""
    quick: int = 300
    """Inputs in the test suite."""

    def mutate(self, random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
        """A wrong input, made from this one."""
        which = random.random()
        if self.restructure is not None and which < 0.6:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    data = self.restructure(random, data)
                except Exception:  # no longer well-formed, or of values that the format cannot hold
                    which = 1.0
        return havoc(random, data, others, self.words) if which > 0.45 else data

    def input(self, number: int, seeds: Sequence[bytes]) -> bytes:
        """The same wrong input at every call, made from the seeds alone."""
        random = Random(f"{self.name} {number}")
        return self.mutate(random, random.choice(seeds), seeds)
