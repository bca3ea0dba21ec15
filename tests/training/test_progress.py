"""What a run shows of itself."""

import io
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console
from runs import quiet_console

from trevsnn.training.progress import ProgressReporter, format_epoch, format_time, peak_memory

ROW = {
    "epoch": 3, "loss": 1.25, "test_accuracy": 0.5, "images_per_second": 99.6,
    "peak_memory_kind": "peak RSS", "peak_memory_bytes": 2_000_000, "bad_images": 0,
}  # fmt: skip


def test_an_epoch_is_a_line():
    line = "epoch  3/10  loss 1.250  test accuracy  50.00%  100 images/s  peak RSS 2 MB  1:01:05 left"
    assert format_epoch(ROW, 10, 3665) == line
    assert format_epoch(ROW | {"bad_images": 2}, 10, 3665) == f"{line}  2 unreadable images"


def test_times():
    assert [format_time(seconds) for seconds in (0, 59.6, 3599, 3600, 36061)] == [
        "0:00", "1:00", "59:59", "1:00:00", "10:01:01",
    ]  # fmt: skip


def test_the_memory_is_that_of_the_device(monkeypatch):
    assert peak_memory(torch.device("cpu"))[0] == "peak RSS"
    assert peak_memory(torch.device("cpu"))[1] > 2**26, "bytes, of which Python and PyTorch take a hundred million"
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 7)
    assert peak_memory(torch.device("cuda")) == ("peak GPU memory", 7)


@pytest.mark.parametrize(("done", "epoch"), [(0, 1), (4, 2), (7, 2)])
def test_a_continued_run_begins_in_its_epoch(done, epoch):
    reporter = ProgressReporter(3, 4, done, quiet_console())
    (task,) = reporter.progress.tasks
    assert (task.fields["epoch"], task.completed, task.total) == (epoch, done, 12)


def test_a_step_gets_a_line_only_after_a_minute_without_one(monkeypatch):
    clock, console, memory = SimpleNamespace(now=100.0), Console(file=io.StringIO(), width=20), ("peak RSS", 10**6)
    monkeypatch.setattr("trevsnn.training.progress.time.perf_counter", lambda: clock.now)
    with ProgressReporter(2, 4, 4, console) as reporter:
        for clock.now, loss in ((130.0, 0.5), (161.0, 0.25), (200.0, 0.125)):
            reporter.step(2, loss, 20, 1e-3, memory)
        reporter.warn("a disk is full, and this line is longer than the console is wide")
        clock.now = 240.0
        reporter.step(2, 0.0625, 20, 1e-3, memory)
        reporter.epoch(ROW | {"epoch": 2})
    assert console.file.getvalue().splitlines() == [
        "epoch 2/2  step 2/4  loss 0.250  lr 0.001  20 images/s  peak RSS 1 MB  1:01 left",
        "warning: a disk is full, and this line is longer than the console is wide",
        "epoch 2/2  loss 1.250  test accuracy  50.00%  100 images/s  peak RSS 2 MB  0:00 left",
    ]
