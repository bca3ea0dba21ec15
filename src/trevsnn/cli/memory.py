"""`trevsnn memory`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, get_args

import torch

from trevsnn._util.units import megabytes
from trevsnn.choices import Memory, Optimizer, Precision
from trevsnn.cli.output import check_file, check_json, one_by_one, show_table, write_json
from trevsnn.costs.step_memory import PARTS, StepMemory, largest_batch, measure_step
from trevsnn.models import create_model
from trevsnn.models.network import require_trevsnn

_SETTINGS = get_args(Memory)


def memory(
    model: str,
    /,
    *,
    batch: int,
    resolution: int | None,
    timesteps: int | None,
    precision: Precision,
    optimizer: Optimizer,
    budget: str | None,
    plot: Path | None,
    plot_timesteps: tuple[int, ...],
    device: str,
    json: Path | None,
) -> None:
    """See `trevsnn.cli.commands.memory`."""
    check_json(json)
    check_file(plot, "plot file")
    if not plot_timesteps or min(plot_timesteps) < 1:
        raise ValueError(f"plot_timesteps={plot_timesteps!r} must be integers from 1")
    limit = None if budget is None else parse_bytes(budget)
    network = require_trevsnn(create_model(model, timesteps=timesteps), "memory")
    places = _devices(device)
    own = network.config.timesteps
    size = int(network.default_cfg["input_size"][1]) if resolution is None else resolution  # type: ignore[index]

    @cache
    def measure(place: str, setting: str, images: int, steps: int) -> StepMemory:
        network = require_trevsnn(create_model(model, timesteps=steps, memory=setting), "memory").to(place)
        return measure_step(network, images, size, precision, optimizer)

    rows: list[dict[str, Any]] = []
    for place, setting in _with_progress(places, _SETTINGS):
        found = measure(place, setting, batch, own)
        row = {"device": place, "memory": setting, **asdict(found), "total": found.total, "per_image": found.per_image}
        if limit is not None:
            row["largest_batch"] = largest_batch(found, measure(place, setting, 2 * batch, own), limit)
        rows.append(row)
    write_json(rows, json)
    for place in places:
        _show(place, [row for row in rows if row["device"] == place], budget)
    if plot is not None:
        place = places[-1]
        curves: dict[str, dict[int, float]] = {setting: {} for setting in _SETTINGS}
        for steps, setting in _with_progress(plot_timesteps, _SETTINGS):
            curves[setting][steps] = measure(place, setting, batch, steps).per_image
        over_time = [
            {"T": steps, **{setting: megabytes(curve[steps]) for setting, curve in curves.items()}}
            for steps in plot_timesteps
        ]
        show_table(over_time, {"T": "T", **{setting: f"{setting}, MB per image" for setting in _SETTINGS}})
        from trevsnn.plots.memory import memory_figure  # matplotlib is slow to import
        from trevsnn.plots.style import save_png

        title = f"training memory of {model}, {size} x {size}, batch {batch}, {precision}, {place}"
        save_png(memory_figure(curves, title), plot)


def parse_bytes(text: str) -> int:
    """A number of bytes, with a unit or without: 24GB, 512MiB, 1e9.

    Raises:
        ValueError: when it is none.
    """
    match = re.fullmatch(r"(\d+\.?\d*(?:e\d+)?|\.\d+(?:e\d+)?)\s*(?:([KMGT]?)(i?)B?)", text.strip(), re.IGNORECASE)
    if match is None:
        raise ValueError(f"budget={text!r} is not a number of bytes; write 24GB, for example")
    return int(float(match[1]) * (1024 if match[3] else 1000) ** " KMGT".index((match[2] or " ").upper()))


def _devices(device: str) -> Sequence[str]:
    """The devices to measure on.

    Raises:
        ValueError: for CUDA where there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device='cuda' is not available here; use cpu, or leave it out")
    if device == "all":
        return ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    return (device,)


def _with_progress(outer: Sequence[Any], inner: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """All pairs, with a bar on a terminal."""
    return iter(one_by_one([(a, b) for a in outer for b in inner], "measuring"))


def _show(place: str, rows: Sequence[Mapping[str, Any]], budget: str | None) -> None:
    lines = [{"name": name, **{r["memory"]: megabytes(r[key]) for r in rows}} for key, name in PARTS.items()]
    if budget is not None:
        lines.append({"name": f"images in {budget}, about", **{r["memory"]: r["largest_batch"] for r in rows}})
    show_table(lines, {"name": f"MB ({place})", **{setting: setting for setting in _SETTINGS}})
