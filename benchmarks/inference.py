"""Inference of trevsnn_small on a CPU: PyTorch, folded or not, against ONNX Runtime in fp32 and int8; speed and memory.

    .venv/bin/python benchmarks/inference.py --output runs/benchmarks

Networks take turns, one timed visit per repeat each, so that a drift of the machine hits all alike; a ratio is
that of two visits of one turn. The weights are the initial ones, which take the time that any do. Memory is what the
loaded network and its first inference add at most to the resident set of a process of its own; the number of blocks is
the same for every T.
"""

import ctypes
import gc
import json
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Annotated, Any

import cyclopts
import onnxruntime
import torch
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import track
from torch import Tensor

from trevsnn import TRevSNN, create_model
from trevsnn._util.files import write_text
from trevsnn._util.table import Table
from trevsnn.costs.machine import describe, named_values
from trevsnn.costs.peak_memory import peak_bytes
from trevsnn.deployment import export_onnx, int8  # noqa: F401, for its imports not to count as the network's memory

NAME = "trevsnn_small"
BASELINE = "pytorch"
DEPTH = 8  # that of the published network at T = 4

Run = Callable[[Tensor], Any]
Several = cyclopts.Parameter(consume_multiple=True, negative=())


def pytorch(model: TRevSNN, folder: Path) -> Run:
    """The network as it is trained, in eval mode."""
    return model.eval()


def folded(model: TRevSNN, folder: Path) -> Run:
    """What `fold()` returns."""
    return model.fold()


def onnx_runtime(model: TRevSNN, folder: Path, **options: Any) -> Run:
    """A file of `export_onnx` in ONNX Runtime, with as many threads as PyTorch has."""
    _, channels, height, width = model.config.input_shape(1, *map(int, model.pretrained_cfg["input_size"][1:]))  # type: ignore[misc]
    if options.pop("int8", False):
        options["calibration"] = [torch.randn(4, channels, height, width, generator=torch.Generator().manual_seed(1))]
    file = folder / "network.onnx"
    export_onnx(model, file, (height, width), **options)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(file, settings, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"input": images.numpy()})


NETWORKS: dict[str, Callable[[TRevSNN, Path], Run]] = {
    BASELINE: pytorch,
    "pytorch-folded": folded,
    "onnxruntime": onnx_runtime,
    "onnxruntime-hard-sigmoid": partial(onnx_runtime, spike_op="hard-sigmoid"),
    "onnxruntime-int8": partial(onnx_runtime, int8=True),
}
"""What is compared, by name."""


def build(name: str, timesteps: int, resolution: int) -> Run:
    """A network of `NETWORKS`, ready to run."""
    torch.manual_seed(0)
    model = create_model(NAME, timesteps=timesteps, depth=DEPTH)
    assert isinstance(model, TRevSNN)
    model.pretrained_cfg = {**model.pretrained_cfg, "input_size": (3, resolution, resolution)}  # type: ignore[dict-item]
    with TemporaryDirectory() as folder:
        return NETWORKS[name](model, Path(folder))


def random_images(batch: int, resolution: int) -> Tensor:
    """(batch, 3, resolution, resolution)."""
    return torch.randn(batch, 3, resolution, resolution, generator=torch.Generator().manual_seed(0))


def seconds(run: Run, images: Tensor, shortest: float) -> float:
    """Mean time of an inference (s), after one to warm up, over as many as take `shortest` seconds."""
    with torch.inference_mode():
        run(images)
        start = perf_counter()
        calls = 0
        while not calls or perf_counter() - start < shortest:
            run(images)
            calls += 1
        return (perf_counter() - start) / calls


def peak_memory(name: str, timesteps: int, batch: int, resolution: int, threads: int) -> int:
    """Bytes that the loaded network and its first inference take in this process; Linux only."""
    torch.set_num_threads(threads)
    images = random_images(batch, resolution)
    before = _status("VmRSS")
    run = build(name, timesteps, resolution)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what building needed and freed does not count
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak restarts from here
    with torch.inference_mode():
        run(images)
    return _status("VmHWM") - before


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def measure_speed(
    names: Sequence[str], batches: Sequence[int], resolution: int, repeats: int, shortest: float
) -> list[dict[str, Any]]:
    """One row per network and batch size, with the time of every visit (s)."""
    runs = {name: build(name, 4, resolution) for name in names}
    rows = []
    for batch in batches:
        images = random_images(batch, resolution)
        times = {name: [] for name in names}
        for _ in track(range(repeats), f"batch {batch}", transient=True):
            for name, run in runs.items():
                times[name].append(seconds(run, images, shortest))
        rows += [{"network": name, "batch": batch, "seconds": values} for name, values in times.items()]
    return rows


def measure_memory(
    names: Sequence[str], batches: Sequence[int], timesteps: Sequence[int], resolution: int
) -> list[dict[str, Any]]:
    """One row per network, batch size and T, with the peak of memory (bytes)."""
    rows = []
    cases = [(name, steps, batch) for batch in batches for name in names for steps in timesteps]
    processes = multiprocessing.get_context("spawn")
    for name, steps, batch in track(cases, "memory", transient=True):
        with processes.Pool(1) as pool:
            found = pool.apply(peak_memory, (name, steps, batch, resolution, torch.get_num_threads()))
        rows.append({"network": name, "batch": batch, "timesteps": steps, "bytes": found})
    return rows


def measure_allocations(batch: int, timesteps: Sequence[int], resolution: int) -> list[dict[str, Any]]:
    """One row per T, with the highest sum of live allocations of the folded network's inference, weights aside
    (bytes)."""
    images = random_images(batch, resolution)
    rows = []
    for steps in track(timesteps, "allocations", transient=True):
        network = build("pytorch-folded", steps, resolution)
        with torch.inference_mode():
            found = peak_bytes(partial(network, images), torch.device("cpu"))
        rows.append({"batch": batch, "timesteps": steps, "bytes": found})
    return rows


def table(results: Mapping[str, Any]) -> str:
    """Speed and memory as Markdown."""
    batches = sorted({row["batch"] for row in results["speed"]})
    times = {(row["network"], row["batch"]): row["seconds"] for row in results["speed"]}
    speeds = []
    for name in dict.fromkeys(row["network"] for row in results["speed"]):
        speeds.append([f"`{name}`"])
        for batch in batches:
            own = times[name, batch]
            base = times.get((BASELINE, batch))
            ratios = [b / t for b, t in zip(base, own, strict=True)] if base else []
            speeds[-1] += [_spread([batch / t for t in own]), _spread(ratios) if ratios else "-"]
    headings = ["", *(f"batch {batch}{what}" for batch in batches for what in ("", ", ratio"))]
    title = "Images/s, median (lowest to highest), and as a multiple of `pytorch`'s in the same turn"
    tables = [Table.of_lists(title, headings, speeds)]

    peaks = {(row["network"], row["batch"], row["timesteps"]): row["bytes"] for row in results["memory"]}
    steps = sorted({row["timesteps"] for row in results["memory"]})
    names = dict.fromkeys(row["network"] for row in results["memory"])
    for batch in sorted({row["batch"] for row in results["memory"]}):
        title = f"Peak memory of the loaded network and its first inference, MB (10^6 bytes), batch {batch}"
        lines = [[f"`{name}`", *(f"{peaks[name, batch, t] / 1e6:,.0f}" for t in steps)] for name in names]
        tables.append(Table.of_lists(title, ["", *(f"T = {t}" for t in steps)], lines))

    per_image = {row["timesteps"]: row["bytes"] / row["batch"] / 1e6 for row in results["allocations"]}
    largest = results["allocations"][0]["batch"]
    title = f"Most live allocations of inference in PyTorch, weights aside, MB per image, batch {largest}"
    lines = [["`pytorch-folded`", *(f"{value:.3f}" for value in per_image.values())]]
    tables.append(Table.of_lists(title, ["", *(f"T = {t}" for t in per_image)], lines))
    about = named_values({**results["machine"], **results["settings"]})
    return "\n\n".join([*(table.markdown() for table in tables), f"Measured with {about}."]) + "\n"


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def main(
    *,
    networks: Annotated[tuple[str, ...], Several] = tuple(NETWORKS),
    batch: Annotated[tuple[int, ...], Several] = (1, 32),
    timesteps: Annotated[tuple[int, ...], Several] = (1, 2, 4, 8),
    resolution: int = 224,
    repeats: int = 7,
    shortest: float = 2.0,
    output: Path = Path("runs/benchmarks"),
) -> None:
    """Measure, and write inference.json and inference.md.

    Args:
        networks: What to compare, all by default.
        batch: Numbers of images.
        timesteps: Numbers of timesteps T, for memory.
        resolution: Height and width of the images (pixels).
        repeats: Timed visits to each.
        shortest: Time that a visit lasts at least (s).
        output: Folder to write to.
    """
    if unknown := sorted(set(networks) - set(NETWORKS)):
        raise SystemExit(f"error: {', '.join(unknown)} unknown; choose from {', '.join(NETWORKS)}")
    onnxruntime.set_default_logger_severity(3)
    output.mkdir(parents=True, exist_ok=True)
    machine = {k: v for k, v in describe(torch.device("cpu")).items() if k != "spikingjelly"}
    results = {
        "machine": machine | {"onnxruntime": version("onnxruntime")},
        "settings": {"model": NAME, "depth": DEPTH, "resolution": resolution},
        "speed": measure_speed(networks, batch, resolution, repeats, shortest),
        "memory": measure_memory(networks, batch, timesteps, resolution),
        "allocations": measure_allocations(max(batch), timesteps, resolution),
    }
    write_text(output / "inference.json", json.dumps(results, indent=2) + "\n")
    write_text(output / "inference.md", table(results))
    Console().print(Markdown(table(results)))


if __name__ == "__main__":
    cyclopts.run(main)
