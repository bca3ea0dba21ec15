"""What a run shows while it works: a line per epoch, and in a long one a line a minute, or on a terminal a live bar."""

import time
from types import TracebackType
from typing import Any, Self

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

BETWEEN_LINES = 60.0  # seconds


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


def format_epoch(row: dict[str, Any], epochs: int, seconds_left: float, things: str = "images") -> str:
    """One epoch's metrics (see `trevsnn.training.loop.train`) as a line; `things` are images or recordings."""
    bad = row["bad_images"]
    return (
        f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}"
        f"  loss {row['loss']:.3f}"
        f"  test accuracy {row['test_accuracy']:7.2%}"
        f"  {row['images_per_second']:.0f} {things}/s"
        f"  {row['peak_memory_kind']} {row['peak_memory_bytes'] / 1e6:.0f} MB"
        f"  {format_time(seconds_left)} left"
    ) + (f"  {bad} unreadable {things}" if bad else "")


def format_time(seconds: float) -> str:
    """m:ss, or h:mm:ss from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


class ProgressReporter:
    """Shows a run on a console; a context manager, within which the bar is live.

    Args:
        epochs: of the whole run.
        steps_per_epoch: optimiser steps.
        steps_done: by an earlier part of the run.
        console: where to show it; standard output by default.
        things: what is trained on, images or recordings.
    """

    def __init__(
        self,
        epochs: int,
        steps_per_epoch: int,
        steps_done: int = 0,
        console: Console | None = None,
        things: str = "images",
    ):
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self.things = things
        self.steps = self.steps_before = steps_done
        self.console = console or Console()
        self.progress = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(),
            TextColumn("loss {task.fields[loss]:.3f}"),
            TextColumn("acc {task.fields[accuracy]}"),
            TextColumn("lr {task.fields[lr]:.2g}"),
            TextColumn(f"{{task.fields[speed]:.0f}} {things}/s"),
            TextColumn("{task.fields[memory]}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )
        self.task = self.progress.add_task(
            "",
            total=epochs * steps_per_epoch,
            completed=steps_done,
            epoch=1 + steps_done // steps_per_epoch,
            epochs=epochs,
            loss=float("nan"),
            accuracy="-",
            lr=0.0,
            speed=0.0,
            memory="",
        )
        self.started = self.last_line = time.perf_counter()

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self.progress.disable:  # stopping prints an empty line elsewhere
            self.progress.stop()

    def step(self, epoch: int, loss: float, images_per_second: float, lr: float, memory: tuple[str, int]) -> None:
        """One optimiser step of an epoch, counted from 1, is done."""
        self.steps += 1
        shown = f"{memory[0]} {memory[1] / 1e6:.0f} MB"
        self.progress.update(self.task, advance=1, epoch=epoch, loss=loss, speed=images_per_second, lr=lr, memory=shown)
        if self.progress.disable and time.perf_counter() - self.last_line > BETWEEN_LINES:
            step = self.steps - (epoch - 1) * self.steps_per_epoch
            self._line(
                f"epoch {epoch}/{self.epochs}  step {step}/{self.steps_per_epoch}  loss {loss:.3f}  lr {lr:.2g}"
                f"  {images_per_second:.0f} {self.things}/s  {shown}  {format_time(self._seconds_left())} left"
            )

    def epoch(self, row: dict[str, Any]) -> None:
        """An epoch is done."""
        self.progress.update(self.task, accuracy=f"{row['test_accuracy']:.2%}")
        self._line(format_epoch(row, self.epochs, self._seconds_left(), self.things))

    def warn(self, message: str) -> None:
        """Something went wrong that does not end the run."""
        self._line(f"warning: {message}")

    def _seconds_left(self) -> float:
        done = max(1, self.steps - self.steps_before)
        return (time.perf_counter() - self.started) / done * (self.epochs * self.steps_per_epoch - self.steps)

    def _line(self, text: str) -> None:
        self.last_line = time.perf_counter()
        self.console.print(text, markup=False, highlight=False, no_wrap=True, overflow="ignore", crop=False)
