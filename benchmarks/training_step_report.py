"""Results of `training_step.py`: kept in a file while they come in, then a table and a picture."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib.pyplot as plt
from contestants import BASELINE, CONTESTANTS, LEGEND
from matplotlib.ticker import LogFormatter

from trevsnn.costs.timed_step import NOT_INSTALLED

_COLOURS = {"trevsnn": "Blues_r", "plain": "Greys_r", "ms_resnet34": "Oranges_r", "sdt_512": "Greens_r"}
_MARKERS = "os^Dvp"
_NOTHING = "-"


@dataclass
class Row:
    """One contestant at one batch size and number of timesteps."""

    contestant: str
    batch: int
    timesteps: int
    parameters: int | None = None
    bytes_per_image: float | None = None
    """Peak of one training step, divided by the batch."""
    seconds: list[float] = field(default_factory=list)
    """Of one training step, a value per repeat."""
    error: str | None = None
    """Why there is no figure, in a line."""

    @property
    def rates(self) -> list[float]:
        """Images/s of each repeat, lowest first."""
        return sorted(self.batch / seconds for seconds in self.seconds)


class Results:
    """Rows in a JSON file, with the settings and the machine that they were measured with.

    Args:
        path: the file. Rows that it holds are taken over, but for those of what was not installed.

    Raises:
        ValueError: when the file was written with other settings or on another machine.
    """

    def __init__(self, path: Path, settings: dict[str, Any], machine: dict[str, Any]):
        self.path = path
        self.settings = settings
        self.machine = machine
        self.rows: list[Row] = []
        if path.exists():
            saved = json.loads(path.read_text(encoding="utf-8"))
            before, now = saved["machine"] | saved["settings"], machine | settings
            for name, value in before.items():
                if value is not None and value != now[name]:
                    raise ValueError(
                        f"{path} was measured with {name}={value!r}, not {now[name]!r}; give another --output, "
                        "or delete the file"
                    )
            self.rows = [Row(**row) for row in saved["rows"] if row["error"] != NOT_INSTALLED]

    def row(self, contestant: str, batch: int, timesteps: int) -> Row:
        """The row, a new one where there is none."""
        found = self.find(contestant, batch, timesteps)
        if found is None:
            found = Row(contestant, batch, timesteps)
            self.rows.append(found)
        return found

    def find(self, contestant: str, batch: int, timesteps: int) -> Row | None:
        """The row, or None."""
        rows = (r for r in self.rows if (r.contestant, r.batch, r.timesteps) == (contestant, batch, timesteps))
        return next(rows, None)

    def save(self) -> None:
        """Write the file; a run that is stopped meanwhile leaves the old one."""
        result = {"settings": self.settings, "machine": self.machine, "rows": [asdict(row) for row in self.rows]}
        unfinished = self.path.with_suffix(".part")
        unfinished.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        unfinished.replace(self.path)

    @property
    def batches(self) -> list[int]:
        """Batch sizes that there are rows of."""
        return sorted({row.batch for row in self.rows})

    @property
    def timesteps(self) -> list[int]:
        """Numbers of timesteps that there are rows of."""
        return sorted({row.timesteps for row in self.rows})

    @property
    def contestants(self) -> list[str]:
        """Names that there are rows of, in the order of `CONTESTANTS`."""
        names = {row.contestant for row in self.rows}
        return [name for name in CONTESTANTS if name in names]


def table(results: Results) -> str:
    """The rows in Markdown: per batch size a table of memory and one of speed, a column per T; then what failed."""
    parts = []
    for batch in results.batches:
        parts += [
            f"Peak memory of one training step, MB (10^6 bytes) per image, batch {batch}; in brackets as a multiple of "
            f"`{BASELINE}`'s:",
            _grid(results, batch, _memory),
            f"Images/s, median (lowest to highest), batch {batch}; then as a multiple of `{BASELINE}`'s:",
            _grid(results, batch, _speed),
        ]
    if notes := _notes(results):
        parts.append("No figure:\n\n" + notes)
    about = [f"{name} {value}" for name, value in (results.machine | results.settings).items() if value is not None]
    return "\n\n".join([*parts, "The contestants:", LEGEND.rstrip(), f"Measured with {', '.join(about)}."]) + "\n"


def _grid(results: Results, batch: int, cell: Callable[[Row, Row | None], str | None]) -> str:
    steps = results.timesteps
    lines = ["| | " + " | ".join(f"T = {t}" for t in steps) + " |", "|---" + "|---:" * len(steps) + "|"]
    for name in results.contestants:
        rows = [(results.find(name, batch, t), results.find(BASELINE, batch, t)) for t in steps]
        cells = [(row and cell(row, base)) or _NOTHING for row, base in rows]
        if any(text != _NOTHING for text in cells):
            lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _memory(row: Row, base: Row | None) -> str | None:
    if row.bytes_per_image is None:
        return None
    ratio = f" ({row.bytes_per_image / base.bytes_per_image:.2f})" if base and base.bytes_per_image else ""
    return f"{row.bytes_per_image / 1e6:.1f}{ratio}"


def _speed(row: Row, base: Row | None) -> str | None:
    if not row.rates:
        return None
    spread = f"{median(row.rates):.3g} ({row.rates[0]:.3g} to {row.rates[-1]:.3g})"
    return f"{spread}, {median(row.rates) / median(base.rates):.2f}" if base and base.rates else spread


def _notes(results: Results) -> str:
    failed: dict[tuple[int, str], dict[str, list[str]]] = {}
    for row in results.rows:
        if row.error:
            names = failed.setdefault((row.batch, row.error), {})
            names.setdefault(row.contestant, []).append(str(row.timesteps))
    lines = []
    for (batch, error), names in failed.items():
        where = "; ".join(f"`{name}` at T = {', '.join(steps)}" for name, steps in names.items())
        lines.append(f"- batch {batch}, {where}: {error}")
    return "\n".join(lines)


def plot(results: Results, title: str, path: Path) -> None:
    """Memory and speed over T, a row of panels per batch size; of sizes with several T, if there are any."""
    steps = results.timesteps
    several = [b for b in results.batches if len({row.timesteps for row in results.rows if row.batch == b}) > 1]
    batches = several or results.batches
    figure, panels = plt.subplots(
        len(batches), 2, figsize=(12.5, 4.6 * len(batches)), layout="constrained", squeeze=False
    )
    styles = _styles(results.contestants)
    handles: dict[str, Any] = {}
    for batch, (memory, speed) in zip(batches, panels, strict=True):
        for name in results.contestants:
            rows = [row for row in results.rows if (row.contestant, row.batch) == (name, batch)]
            rows.sort(key=lambda row: row.timesteps)
            held = [(row.timesteps, row.bytes_per_image / 1e6) for row in rows if row.bytes_per_image is not None]
            rates = [(row.timesteps, median(row.rates)) for row in rows if row.rates]
            for axes, points in ((memory, held), (speed, rates)):
                if points:
                    handles[name] = axes.plot(*zip(*points, strict=True), label=name, **styles[name])[0]
        memory.set_yscale("log")
        memory.yaxis.set_major_formatter("{x:g}")
        memory.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))
        memory.set(ylabel=f"peak MB per image, batch {batch}")
        speed.set(ylabel=f"images/s, batch {batch}")
        speed.set_ylim(bottom=0)
        for axes in (memory, speed):
            axes.set_xscale("log", base=2)
            axes.set_xticks(steps, [str(t) for t in steps])
            axes.set(xlabel="timesteps T")
            axes.grid(alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    figure.legend(handles.values(), handles.keys(), loc="outside right center", frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _styles(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A colour map per family, a shade and a marker per member; the library's lines are thicker."""
    styles = {}
    for family, colours in _COLOURS.items():
        members = [name for name in names if name.startswith(family)]
        for i, name in enumerate(members):
            shade = plt.get_cmap(colours)(0.1 + 0.5 * i / max(1, len(members) - 1))
            width = 2.2 if family == "trevsnn" else 1.2
            styles[name] = {"color": shade, "marker": _MARKERS[i % len(_MARKERS)], "linewidth": width, "markersize": 5}
    return styles
