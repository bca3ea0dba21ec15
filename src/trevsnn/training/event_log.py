"""The metrics of a run as TensorBoard events."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self


class EventLog:
    """Writes events; a context manager.

    Args:
        folder: where to.
        epoch: the first one to come; what an earlier part of the run wrote for it or later ones does not count.
    """

    def __init__(self, folder: Path, epoch: int):
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        self._writer = SummaryWriter(str(folder), purge_step=epoch)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.close()

    def add(self, row: dict[str, Any]) -> None:
        """The numbers among an epoch's metrics (see `trevsnn.training.loop.train`).

        Raises:
            OSError: when they cannot be written.
        """
        for name, value in row.items():
            if isinstance(value, (int, float)) and name != "epoch":
                self._writer.add_scalar(name, value, row["epoch"])
        self._writer.flush()
