"""Memory of one training step against the number of timesteps, for both memory settings.

    .venv/bin/python benchmarks/memory_vs_timesteps.py --output docs/images

Counts every byte that PyTorch's CPU allocator holds at the worst moment of a forward and backward pass (fp32, auxiliary
heads on, the parameters' gradients allocated beforehand). Batches of two sizes are measured, and the difference
is shared among the images between them: what one more image costs, parameters aside. The figure depends on shapes
alone and repeats exactly.
"""

import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import cyclopts
import matplotlib.pyplot as plt
import torch
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import track

from trevsnn import create_model, intermediate_supervision_loss
from trevsnn.analysis.memory import peak_bytes

SETTINGS = ("stored", "reversible")
BATCHES = (1, 3)


def step_bytes(model: str, memory: str, timesteps: int, batch: int, resolution: int) -> int:
    """Peak bytes of one training step."""
    torch.manual_seed(0)
    network = create_model(model, timesteps=timesteps, memory=memory)
    images = torch.randn(batch, network.config.in_chans, resolution, resolution)
    labels = torch.zeros(batch, dtype=torch.long)
    for p in network.parameters():
        p.grad = torch.zeros_like(p)
    return peak_bytes(lambda: intermediate_supervision_loss(network(images), labels, 0.1).backward())


def measure(model: str, resolution: int, timesteps: Sequence[int]) -> list[dict[str, Any]]:
    """A row per number of timesteps, with bytes per image for each setting."""
    rows: list[dict[str, Any]] = []
    for steps in track(timesteps, "timesteps", transient=True):
        row: dict[str, Any] = {"timesteps": steps}
        for memory in SETTINGS:
            few, many = (step_bytes(model, memory, steps, batch, resolution) for batch in BATCHES)
            row[memory] = (many - few) / (BATCHES[1] - BATCHES[0])
        rows.append(row)
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows in Markdown, in MB (10^6 bytes) per image."""
    lines = ["| T | stored | reversible |", "|---:|---:|---:|"]
    lines += [
        f"| {row['timesteps']} | {row['stored'] / 1e6:.1f} MB | {row['reversible'] / 1e6:.1f} MB |" for row in rows
    ]
    return "\n".join(lines) + "\n"


def plot(rows: Sequence[dict[str, Any]], title: str, path: Path) -> None:
    """Both settings over T."""
    figure, axes = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    steps = [row["timesteps"] for row in rows]
    for memory, colour in zip(SETTINGS, ("#b0413e", "#2a6f97"), strict=True):
        values = [row[memory] / 1e6 for row in rows]
        axes.plot(steps, values, "o-", color=colour, label=memory)
        axes.annotate(f"{values[-1]:.0f} MB", (steps[-1], values[-1]), (0, 7), textcoords="offset points", ha="center")
    axes.set(xlabel="timesteps T", ylabel="MB per image", title=title, xticks=steps)
    axes.margins(x=0.06)
    axes.set_ylim(0, axes.get_ylim()[1] * 1.05)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="upper left")
    figure.savefig(path, dpi=150)


def processor() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main(
    *,
    model: str = "trevsnn_small",
    resolution: int = 224,
    timesteps: Annotated[tuple[int, ...], cyclopts.Parameter(consume_multiple=True, negative=())] = (1, 2, 4, 8, 16),
    output: Path = Path("runs/benchmarks"),
) -> None:
    """Measure, and write memory_vs_timesteps.json, .md and .png.

    Args:
        model: Name of the network.
        resolution: Height and width of the images (pixels).
        timesteps: Numbers of timesteps T.
        output: Folder to write to.
    """
    output.mkdir(parents=True, exist_ok=True)
    rows = measure(model, resolution, timesteps)
    machine = {"processor": processor(), "torch": torch.__version__, "python": platform.python_version()}
    result = {"model": model, "resolution": resolution, "machine": machine, "bytes_per_image": rows}
    (output / "memory_vs_timesteps.json").write_text(json.dumps(result, indent=2) + "\n")
    (output / "memory_vs_timesteps.md").write_text(table(rows))
    plot(rows, f"training memory of {model}, {resolution} x {resolution}, fp32", output / "memory_vs_timesteps.png")
    Console().print(Markdown(table(rows)))


if __name__ == "__main__":
    cyclopts.run(main)
