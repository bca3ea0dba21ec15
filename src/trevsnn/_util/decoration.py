"""A picture or log of a run that cannot be written is a warning, and the run goes on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from trevsnn._util.files import in_words


@contextmanager
def decoration(what: str, warn: Callable[[str], object]) -> Iterator[None]:
    """Within the block, whatever goes wrong is a warning in one line, and what follows the block goes on.

    Args:
        what: is made in the block, as the line calls it.
        warn: shows a line.
    """
    try:
        yield
    except Exception as error:  # drawing and logging can fail in any way
        reason = (
            " ".join((in_words(error) if isinstance(error, OSError) else str(error)).split()) or type(error).__name__
        )
        warn(f"{what} could not be written: {reason[:300]}; all else goes on")
