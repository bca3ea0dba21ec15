"""Libraries of other languages write on standard error what Python is told by an exception, too."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Within, this process writes nothing on standard error."""
    with ExitStack() as opened:
        try:
            before = os.dup(2)
        except OSError:  # it has none
            yield
            return
        opened.callback(os.close, before)
        nowhere = opened.enter_context(open(os.devnull, "wb"))
        os.dup2(nowhere.fileno(), 2)
        opened.callback(os.dup2, before, 2)
        yield
