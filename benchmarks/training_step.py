"""One training step of trevsnn_small against its plain form, checkpointing and SpikingJelly: memory and speed.

    .venv/bin/pip install --group dev
    .venv/bin/python benchmarks/training_step.py --output runs/benchmarks

A step is the forward pass, cross-entropy and the backward pass, on random images; gradients are allocated beforehand,
and there is no optimizer. First, every contestant's peak memory is measured: on a CPU by adding up allocations
(`trevsnn.costs.peak_memory`), on a GPU as the allocator of PyTorch tells it, after a warm-up; what was live before the
step does not count. Then the contestants take turns, one timed visit per repeat each, so that a drift of the machine
hits all alike. A contestant's network waits in host memory, without gradients, while the others run.

Every figure is saved as soon as it is measured: after an interruption the same command goes on where it stopped.
What fails, for lack of memory or of an installed package, becomes a line below the table.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import cyclopts
import torch
from contestants import CONTESTANTS, Case
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import track
from training_step_report import Results, plot, table

from trevsnn.costs.machine import describe
from trevsnn.costs.timed_step import (
    Subject,
    count_parameters,
    failures_in,
    measure_memory,
    measure_seconds,
    room,
)

BATCHES = {"cpu": (4,), "cuda": (64, 256)}
PRECISIONS = {"cpu": "fp32", "cuda": "bf16"}

Several = cyclopts.Parameter(consume_multiple=True, negative=())


def known(_: object, names: Sequence[str]) -> None:
    """Refuse names that are not contestants'."""
    if unknown := set(names) - set(CONTESTANTS):
        raise ValueError(f"{', '.join(sorted(unknown))} unknown; choose from {', '.join(CONTESTANTS)}")


def prepare(name: str, case: Case) -> Subject:
    """The contestant of this name, built and waiting."""
    torch.manual_seed(0)
    subject = CONTESTANTS[name](case)
    subject.park()
    return subject


def compare(case: Case, names: Sequence[str], repeats: int, results: Results) -> None:
    """Fill the rows of one batch size and number of timesteps: first the memory of each, then turns at timing."""
    batch = len(case.images)
    where = f"batch {batch}, T = {case.timesteps}"
    rows = [results.row(name, batch, case.timesteps) for name in names]
    subjects: dict[str, Subject] = {}
    for row in track(rows, f"{where}: memory", transient=True):
        if row.error is None and len(row.seconds) < repeats:
            with room(case.device), failures_in(row):
                subject = prepare(row.contestant, case)
                row.parameters = count_parameters(subject.network)
                if row.bytes_per_image is None:
                    row.bytes_per_image = measure_memory(subject, case) / batch
                subjects[row.contestant] = subject
            results.save()
    for repeat in range(repeats):
        for row in track(rows, f"{where}: timing {repeat + 1} of {repeats}", transient=True):
            if row.error is None and len(row.seconds) <= repeat:
                with room(case.device), failures_in(row):
                    row.seconds.append(measure_seconds(subjects[row.contestant], case))
                results.save()


def main(
    *,
    contestants: Annotated[tuple[str, ...], Several, cyclopts.Parameter(validator=known)] = tuple(CONTESTANTS),
    timesteps: Annotated[tuple[int, ...], Several] = (1, 2, 4, 8, 16),
    batch: Annotated[tuple[int, ...] | None, Several] = None,
    precision: Literal["fp32", "bf16"] | None = None,
    device: Literal["cpu", "cuda"] | None = None,
    repeats: int = 5,
    resolution: int = 224,
    search_limit: float = 600,
    output: Path = Path("runs/benchmarks"),
) -> None:
    """Measure, and write training_step.json, .md and .png.

    Args:
        contestants: Names of the networks to compare, all by default.
        timesteps: Numbers of timesteps T.
        batch: Numbers of images in a step; 4 on a CPU, 64 and 256 on a GPU by default.
        precision: bf16 is autocast; fp32 on a CPU, bf16 on a GPU by default.
        device: A GPU where there is one, by default.
        repeats: Timed visits to each contestant.
        resolution: Height and width of the images (pixels).
        search_limit: Longest time that memopt may search for its plan, per network (s).
        output: Folder to write to, and to continue from.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    output.mkdir(parents=True, exist_ok=True)
    settings = {"resolution": resolution, "precision": precision or PRECISIONS[device]}
    console = Console()
    try:
        results = Results(output / "training_step.json", settings, describe(torch.device(device)))
    except ValueError as error:
        console.print(f"error: {error}", markup=False)
        raise SystemExit(2) from None
    try:
        for size in batch or BATCHES[device]:
            images = torch.randn(size, 3, resolution, resolution, generator=torch.Generator().manual_seed(0))
            labels = torch.arange(size) % 1000
            for steps in timesteps:
                case = Case(images.to(device), labels.to(device), settings["precision"], steps, search_limit)
                compare(case, contestants, repeats, results)
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on from here")
    (output / "training_step.md").write_text(table(results), encoding="utf-8")
    plot(
        results,
        f"one training step, {resolution} x {resolution}, {settings['precision']}",
        output / "training_step.png",
    )
    console.print(Markdown(table(results)))


if __name__ == "__main__":
    cyclopts.run(main)
