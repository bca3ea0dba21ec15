"""What the folder of a run says in text: its settings, and the metrics of its epochs."""

import json
import shlex
from pathlib import Path
from typing import Any

from trevsnn._util.checks import is_number
from trevsnn._util.files import read_text
from trevsnn.training.config import TrainConfig, load_config

_SHOWN = ("epoch", "loss", "test_loss", "test_accuracy", "lr", "seconds", "images_per_second")
"""Of an epoch, by reports."""


class RunRecord:
    """The part of `RunFolder` that is read without PyTorch."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.config = self.path / "config.toml"
        self.metrics = self.path / "metrics.jsonl"

    def holds_run(self) -> bool:
        """Whether a run has been started here."""
        return self.config.exists()

    def read_config(self, *, unknown_ok: bool = False) -> tuple[str, dict[str, Any]]:
        """(name of the data set, fields of the configuration) of the run that stands here.

        Args:
            unknown_ok: leave out fields that another version of trevsnn has written.

        Raises:
            ValueError: when there is none, or its configuration cannot be read.
        """
        if not self.path.exists():
            raise ValueError(f"run folder {str(self.path)!r} does not exist")
        if not self.config.is_file():
            near = [*list(self.path.absolute().parents)[:2], *(file.parent for file in self.path.glob("*/config.toml"))]
            hint = next((f"; did you mean {str(p)!r}?" for p in near if RunRecord(p).holds_run()), "")
            raise ValueError(f"{str(self.path)!r} is not a run folder: it has no {self.config.name}{hint}")
        dataset, values = load_config(self.config, unknown_ok=unknown_ok)
        if dataset is None:
            raise ValueError(f"config {str(self.config)!r} does not name its dataset")
        try:
            TrainConfig(**values)
        except ValueError as error:
            raise ValueError(f"config {str(self.config)!r}: {error}") from error
        return dataset, values

    def read_metrics(self) -> list[dict[str, Any]]:
        """The epochs so far, empty before the first; without a last one that is written by half.

        Raises:
            ValueError: when they cannot be read.
        """
        if not self.metrics.exists():
            return []
        history = []
        lines = read_text(self.metrics).splitlines()
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                check_row(row)
            except (ValueError, RecursionError) as error:
                if number == len(lines) and number > 1:
                    break  # half of it, when power was lost; the state has it whole
                raise ValueError(
                    f"metrics {str(self.metrics)!r}: line {number} cannot be read ({error}); remove the file and "
                    f"continue the run, which writes it anew: --resume {shlex.quote(str(self.path))}"
                ) from error
            history.append(row)
        return history


def check_row(row: Any) -> None:
    """Refuse what is not metrics of an epoch.

    Raises:
        ValueError: naming the first that is missing, or no number.
    """
    if not isinstance(row, dict):
        raise ValueError("no JSON object")
    for name in _SHOWN:
        value = row.get(name)
        if not is_number(value) and not (isinstance(value, float) and name in ("loss", "test_loss")):
            raise ValueError(f"{name} is {'missing' if name not in row else 'no number'}")
