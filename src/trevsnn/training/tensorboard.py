"""The metrics of a run as TensorBoard events."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from trevsnn._util.decoration import decoration

_WHAT = "the log for TensorBoard"


class EventLog:
    """Writes events; a context manager. What goes wrong is a warning, and only the first time.

    Args:
        folder: where to.
        epoch: the first one to come; what an earlier part of the run wrote for it or later ones does not count.
        warn: shows a line.
    """

    def __init__(self, folder: Path, epoch: int, warn: Callable[[str], object]):
        self._warn, self._writer = warn, None
        with decoration(_WHAT, warn):
            from torch.utils.tensorboard import SummaryWriter  # slow to import

            self._writer = SummaryWriter(str(folder), purge_step=epoch)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(Exception):
            if self._writer is not None:
                self._writer.close()

    def add(self, row: dict[str, Any]) -> None:
        """The numbers among an epoch's metrics (see `trevsnn.training.loop.train`)."""
        if self._writer is None:
            return
        written = False
        with decoration(_WHAT, self._warn):
            for name, value in row.items():
                if isinstance(value, (int, float)) and name != "epoch":
                    self._writer.add_scalar(name, value, row["epoch"])
            self._writer.flush()
            written = True
        if not written:
            self._writer = None
