"""Training memory of two-stream networks: reversible in time, invertible in space, both or neither.

    .venv/bin/python benchmarks/two_streams.py --output runs/benchmarks

A step is the forward pass, cross-entropy and the backward pass of a network with the channels of trevsnn_digits on
random images, in float32 on the CPU; gradients are allocated beforehand, and there is no optimizer. Its peak memory is
the highest sum of live allocations (`trevsnn.costs.peak_memory`), which the machine's load does not change. The network
first grows in the blocks of a cell, then in timesteps. The batch is not sliced, so that a whole cell's blocks show.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import cyclopts
import torch
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import track
from torch.nn.functional import cross_entropy

from trevsnn import create_model
from trevsnn._util.files import write_text
from trevsnn._util.table import Table
from trevsnn.costs.machine import describe, named_values
from trevsnn.costs.peak_memory import peak_bytes
from trevsnn.plots.style import new_figure, save_png, tidy

NAME = "trevsnn_digits"
SETTINGS = list(product(("stored", "reversible"), (False, True)))
"""(memory, invert_blocks)."""

Several = cyclopts.Parameter(consume_multiple=True, negative=())
Rows = Sequence[Mapping[str, Any]]


def step_bytes(memory: str, invert: bool, timesteps: int, blocks: int, batch: int, resolution: int) -> int:
    """Peak of one training step, with so many blocks in each cell."""
    torch.manual_seed(0)
    model = create_model(
        NAME,
        in_chans=3,
        two_stream=True,
        invert_blocks=invert,
        memory=memory,
        slices=1,
        aux_heads=False,
        timesteps=timesteps,
        depth=timesteps * blocks,
    )
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    images = torch.randn(batch, 3, resolution, resolution)
    labels = torch.zeros(batch, dtype=torch.long)
    return peak_bytes(lambda: cross_entropy(model(images), labels).backward())


def measure(axis: str, numbers: Sequence[int], batch: int, resolution: int, **fixed: int) -> list[dict[str, Any]]:
    """One row per setting and number, in which what `axis` names grows and the rest is fixed."""
    rows = []
    for number, (memory, invert) in track(list(product(numbers, SETTINGS)), axis, transient=True):
        case = {"memory": memory, "invert": invert, axis: number, **fixed}
        found = step_bytes(**case, batch=batch, resolution=resolution)
        rows.append({**case, "bytes_per_image": found / batch})
    return rows


def label(memory: str, invert: bool) -> str:
    """What tables and pictures call a setting."""
    return f'memory="{memory}"{", invert_blocks" if invert else ""}'


def table(results: Mapping[str, Any]) -> str:
    """Memory over blocks and over timesteps as Markdown."""
    parts = ["Peak memory of one training step, MB (10^6 bytes) per image:"]
    for axis, (rows, title) in _axes(results).items():
        numbers = sorted({row[axis] for row in rows})
        lines = [[label(*setting), *(f"{y / 1e6:.2f}" for _, y in _line(rows, axis, setting))] for setting in SETTINGS]
        parts.append(Table.of_lists(title, ["", *map(str, numbers)], lines).markdown())
    about = named_values({**results["machine"], **results["settings"]})
    return "\n\n".join([*parts, f"Measured with {about}."]) + "\n"


def plot(results: Mapping[str, Any], path: Path) -> None:
    """The same as a picture."""
    axes = _axes(results)
    figure = new_figure(10, 4, dpi=120)
    panels = figure.subplots(1, len(axes), sharey=True)
    for panel, (axis, (rows, title)) in zip(panels, axes.items(), strict=True):
        for setting, style in zip(SETTINGS, ("k-o", "k--o", "C0-s", "C0--s"), strict=True):
            x, y = zip(*_line(rows, axis, setting), strict=True)
            panel.plot(x, [value / 1e6 for value in y], style, label=label(*setting))
        panel.set(xlabel=title, yscale="log")
        panel.set_xticks(sorted({row[axis] for row in rows}))
        tidy(panel)
    panels[0].set_ylabel("MB per image")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    save_png(figure, path)


def _axes(results: Mapping[str, Any]) -> dict[str, tuple[Rows, str]]:
    settings = results["settings"]
    return {
        "blocks": (results["over_blocks"], f"blocks of a cell, T = {settings['fixed timesteps']}"),
        "timesteps": (results["over_timesteps"], f"timesteps T, {settings['fixed blocks']} blocks in a cell"),
    }


def _line(rows: Rows, axis: str, setting: tuple[str, bool]) -> list[tuple[int, float]]:
    return [(row[axis], row["bytes_per_image"]) for row in rows if (row["memory"], row["invert"]) == setting]


def main(
    *,
    blocks: Annotated[tuple[int, ...], Several] = (1, 2, 4, 8, 16),
    timesteps: Annotated[tuple[int, ...], Several] = (1, 2, 4, 8, 16),
    batch: int = 8,
    resolution: int = 112,
    output: Path = Path("runs/benchmarks"),
) -> None:
    """Measure, and write two_streams.json, .md and .png.

    Args:
        blocks: Numbers of blocks in a cell, at T = 2.
        timesteps: Numbers of timesteps T, with 2 blocks in a cell.
        batch: Images in a step.
        resolution: Height and width of the images (pixels).
        output: Folder to write to.
    """
    output.mkdir(parents=True, exist_ok=True)
    fixed = {"timesteps": 2, "blocks": 2}
    results = {
        "machine": {k: v for k, v in describe(torch.device("cpu")).items() if k != "spikingjelly"},
        "settings": {
            **{"model": NAME, "resolution": resolution, "batch": batch, "precision": "fp32"},
            **{f"fixed {name}": value for name, value in fixed.items()},
        },
        "over_blocks": measure("blocks", blocks, batch, resolution, timesteps=fixed["timesteps"]),
        "over_timesteps": measure("timesteps", timesteps, batch, resolution, blocks=fixed["blocks"]),
    }
    write_text(output / "two_streams.json", json.dumps(results, indent=2) + "\n")
    write_text(output / "two_streams.md", table(results))
    plot(results, output / "two_streams.png")
    Console().print(Markdown(table(results)))


if __name__ == "__main__":
    cyclopts.run(main)
