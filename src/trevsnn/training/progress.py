"""What a run shows while it works: one line per epoch, and on a terminal a live bar below."""

import time
from types import TracebackType
from typing import Any, Self

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


def peak_memory(device: torch.device) -> tuple[str, int]:
    """(what is counted, bytes): the most allocated on a GPU, else the largest resident set of this process."""
    if device.type == "cuda":
        return "peak GPU memory", torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return "peak RSS", 0
    import sys

    unit = 1 if sys.platform == "darwin" else 1024
    return "peak RSS", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def format_epoch(row: dict[str, Any], epochs: int, seconds_left: float) -> str:
    """One epoch's metrics (see `trevsnn.training.loop.train`) as a line."""
    minutes, seconds = divmod(round(seconds_left), 60)
    return (
        f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}"
        f"  loss {row['loss']:.3f}"
        f"  test accuracy {row['test_accuracy']:7.2%}"
        f"  {row['images_per_second']:.0f} images/s"
        f"  {row['peak_memory_kind']} {row['peak_memory_bytes'] / 1e6:.0f} MB"
        f"  {minutes}:{seconds:02d} left"
    )


class ProgressReporter:
    """Shows a run on a console; a context manager, within which the bar is live.

    Args:
        epochs: of the whole run.
        steps_per_epoch: optimiser steps.
        epochs_done: by an earlier part of the run.
        console: where to show it; standard output by default.
    """

    def __init__(self, epochs: int, steps_per_epoch: int, epochs_done: int = 0, console: Console | None = None):
        self.epochs, self.epochs_done = epochs, epochs_done
        self.console = console or Console()
        self.progress = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(),
            TextColumn("loss {task.fields[loss]:.3f}"),
            TextColumn("acc {task.fields[accuracy]}"),
            TextColumn("{task.fields[speed]:.0f} images/s"),
            TextColumn("{task.fields[memory]}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )
        self.task = self.progress.add_task(
            "",
            total=epochs * steps_per_epoch,
            completed=epochs_done * steps_per_epoch,
            **{"epoch": epochs_done + 1, "epochs": epochs, "loss": float("nan"), "accuracy": "-", "speed": 0.0},
            memory="",
        )
        self.started = time.perf_counter()

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self.progress.disable:  # stopping prints an empty line elsewhere
            self.progress.stop()

    def step(self, epoch: int, loss: float, images_per_second: float, memory: tuple[str, int]) -> None:
        """One optimiser step of an epoch, counted from 1, is done."""
        self.progress.update(
            self.task,
            advance=1,
            epoch=epoch,
            loss=loss,
            speed=images_per_second,
            memory=f"{memory[0]} {memory[1] / 1e6:.0f} MB",
        )

    def epoch(self, row: dict[str, Any]) -> None:
        """An epoch is done."""
        self.progress.update(self.task, accuracy=f"{row['test_accuracy']:.2%}")
        done = row["epoch"] - self.epochs_done
        seconds_left = (time.perf_counter() - self.started) / done * (self.epochs - row["epoch"])
        self.console.print(
            format_epoch(row, self.epochs, seconds_left), highlight=False, no_wrap=True, overflow="ignore", crop=False
        )
