"""One training step of trevsnn_small against its plain form, checkpointing and SpikingJelly: memory and speed.

    .venv/bin/pip install --group dev
    KINETO_LOG_LEVEL=6 .venv/bin/python benchmarks/training_step.py --output runs/benchmarks

A step is the forward pass, cross-entropy and the backward pass, on random images; gradients are allocated beforehand,
and there is no optimizer. First, every contestant's peak memory is measured: on a CPU by adding up allocations
(`trevsnn.analysis.memory`), on a GPU as PyTorch's allocator tells it, after a step to warm up; what was live before the
step does not count. Then the contestants take turns, one timed visit per repeat each, so that a drift of the machine
hits all alike. A contestant's network waits in host memory, without gradients, while the others run.

Every figure is saved as soon as it is measured: after an interruption the same command goes on where it stopped.
What fails, for lack of memory or of an installed package, becomes a line below the table.
"""

import ctypes
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from time import perf_counter
from typing import Annotated, Literal

import cyclopts
import torch
from contestants import CONTESTANTS, Case, Subject, count_parameters
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import track
from training_step_report import NOT_INSTALLED, Results, Row, plot, table

from trevsnn.analysis.machine import describe
from trevsnn.analysis.memory import peak_bytes

STEPS = {"cpu": 1, "cuda": 5}
"""Steps to warm up, and then to time, at each visit."""
BATCHES = {"cpu": (4,), "cuda": (64, 256)}
PRECISIONS = {"cpu": "fp32", "cuda": "bf16"}

Several = cyclopts.Parameter(consume_multiple=True, negative=())


def known(_: object, names: Sequence[str]) -> None:
    """Refuse names that are not contestants'."""
    if unknown := set(names) - set(CONTESTANTS):
        raise ValueError(f"{', '.join(sorted(unknown))} unknown; choose from {', '.join(CONTESTANTS)}")


def measure_memory(subject: Subject, case: Case) -> int:
    """Peak bytes of one training step over what was live before it."""
    device = case.images.device
    with _on_stage(subject, device):
        subject.reset(subject.network)

        def step() -> None:
            subject.step(case)
            subject.reset(subject.network)

        return peak_bytes(step, device)


def measure_seconds(subject: Subject, case: Case) -> float:
    """Mean time of a training step (s) over a few, after as many to warm up."""
    device = case.images.device
    with _on_stage(subject, device):
        _run(subject, case, STEPS[device.type])
        return mean(_run(subject, case, STEPS[device.type]))


def _run(subject: Subject, case: Case, steps: int) -> list[float]:
    """Time of each of some training steps (s)."""
    device, seconds = case.images.device, []
    for _ in range(steps):
        subject.reset(subject.network)
        _synchronize(device)
        start = perf_counter()
        subject.step(case)
        _synchronize(device)
        seconds.append(perf_counter() - start)
    return seconds


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def _on_stage(subject: Subject, device: torch.device) -> Iterator[None]:
    """The network on the device with its gradients allocated, and afterwards out of the way."""
    subject.network.to(device)
    for p in subject.network.parameters():
        p.grad = torch.zeros_like(p)
    try:
        yield
    finally:
        _leave(subject)


def prepare(name: str, case: Case) -> Subject:
    """The contestant of this name, built and waiting."""
    torch.manual_seed(0)
    subject = CONTESTANTS[name](case)
    _leave(subject)
    return subject


def _leave(subject: Subject) -> None:
    subject.network.zero_grad(set_to_none=True)
    subject.reset(subject.network)
    subject.network.to("cpu")


@contextmanager
def failures_in(row: Row) -> Iterator[None]:
    """What goes wrong inside is noted in the row, in a line."""
    try:
        yield
    except ModuleNotFoundError as error:
        row.error = NOT_INSTALLED if (error.name or "").startswith("spikingjelly") else str(error)
    except Exception as error:  # whatever a contestant raises is a result
        message = str(error).strip().partition("\n")[0]
        no_memory = isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in message
        row.error = "out of memory" if no_memory else f"{type(error).__name__}: {message}"


def make_room(device: torch.device) -> None:
    """Return free memory to the system; on a CPU, let an allocation beyond it fail, before the process is ended."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        return
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
    # what is used and can be had; addresses that were freed, and take no memory now, count for the limit as if they did
    kibibytes = _first_number("/proc/self/status", "RssAnon") + _first_number("/proc/meminfo", "MemAvailable")
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (1024 * kibibytes, hard))


def _first_number(path: str, name: str) -> int:
    lines = Path(path).read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def compare(case: Case, names: Sequence[str], repeats: int, results: Results) -> None:
    """Fill the rows of one batch size and number of timesteps: first the memory of each, then turns at timing."""
    batch = len(case.images)
    where = f"batch {batch}, T = {case.timesteps}"
    rows = [results.row(name, batch, case.timesteps) for name in names]
    subjects: dict[str, Subject] = {}
    for row in track(rows, f"{where}: memory", transient=True):
        if row.error is None and len(row.seconds) < repeats:
            make_room(case.images.device)
            with failures_in(row):
                subject = prepare(row.contestant, case)
                row.parameters = count_parameters(subject.network)
                if row.bytes_per_image is None:
                    row.bytes_per_image = measure_memory(subject, case) / batch
                subjects[row.contestant] = subject
            results.save()
    for repeat in range(repeats):
        for row in track(rows, f"{where}: timing {repeat + 1} of {repeats}", transient=True):
            if row.error is None and len(row.seconds) <= repeat:
                make_room(case.images.device)
                with failures_in(row):
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
                case = Case(steps, images.to(device), labels.to(device), settings["precision"], search_limit)
                compare(case, contestants, repeats, results)
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on from here")
    (output / "training_step.md").write_text(table(results))
    plot(
        results,
        f"one training step, {resolution} x {resolution}, {settings['precision']}",
        output / "training_step.png",
    )
    console.print(Markdown(table(results)))


if __name__ == "__main__":
    cyclopts.run(main)
