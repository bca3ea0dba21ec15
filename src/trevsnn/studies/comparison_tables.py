"""Methods side by side, as tables of text."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from trevsnn._util.table import Table
from trevsnn._util.units import unit_of
from trevsnn.costs.energy import CONVENTIONS, PAPER
from trevsnn.studies.comparison import Row, ratios

_PAPERS = (
    "papers' memory and time of training are of A100 GPUs in fp16; their memory is that of the whole GPU divided by "
    "the batch, weights, gradients and optimizer included, the measured one the highest sum of live allocations in one "
    "step, over what was there before it"
)


def comparison_tables(rows: Sequence[Row], reference: Row) -> list[Table]:
    """What was measured, next to what papers report where they do, and as multiples of the reference's."""
    tables = [_measured(rows)]
    if any(row.paper for row in rows):
        tables.append(_reported([row for row in rows if row.paper]))
    if len(rows) > 1:
        tables.append(_against(rows, reference))
    return tables


def sweep_tables(rows: Sequence[Row], reference: str) -> list[Table]:
    """For each batch size, memory and speed over the number of timesteps, and as multiples of the reference's."""
    steps = sorted({row.timesteps for row in rows if row.timesteps is not None})
    tables = []
    for batch in dict.fromkeys(row.batch for row in rows):
        found = {(row.label, row.timesteps): row for row in rows if row.batch == batch}
        for title, cell in (
            (f"Training memory, MB per image, batch {batch}, and as a multiple of {reference}'s", _memory_cell),
            (f"Images/s (lowest to highest), batch {batch}, and as a multiple of {reference}'s", _speed_cell),
        ):
            lines = []
            for label in dict.fromkeys(label for label, _ in found):
                pairs = [(found.get((label, t)), found.get((reference, t))) for t in steps]
                cells = ["" if row is None else cell(row, base) for row, base in pairs]
                if any(cells):
                    lines.append([label, *cells])
            tables.append(Table.of_lists(title, ["method", *(f"T = {t}" for t in steps)], lines))
    return tables


def notes(rows: Sequence[Row]) -> list[str]:
    """What has to be known: what papers' figures are of, how memory was optimised, and why figures are missing."""
    several = len({(row.label, row.batch, row.timesteps) for row in rows}) > len({row.label for row in rows})
    papers = [_PAPERS] if any(row.paper for row in rows) and not several else []
    levels = [
        f"{row.label}: SpikingJelly's memory optimisation at level {row.memopt_level}"
        for row in rows
        if row.memopt_level is not None
    ]
    failed: dict[tuple[str, int, str], list[str]] = {}
    for row in rows:
        if row.error is not None:
            failed.setdefault((row.label, row.batch, row.error), []).append(str(row.timesteps))
    lines = []
    for (label, batch, error), steps in failed.items():
        where = f" with batch {batch} at T = {', '.join(steps)}" if several else ""
        lines.append(f"{label}{where}: {error}")
    return [*papers, *dict.fromkeys(levels), *lines]


def _memory_cell(row: Row, base: Row | None) -> str:
    if row.bytes_per_image is None:
        return ""
    return f"{row.bytes_per_image / 1e6:,.1f}" + _times(row.bytes_per_image, base and base.bytes_per_image)


def _speed_cell(row: Row, base: Row | None) -> str:
    if not row.rates:
        return ""
    multiple = f", {median(row.rates) / median(base.rates):.2f}" if base and base.rates else ""
    return _speed(row) + multiple


def _speed(row: Row) -> str:
    return f"{median(row.rates):.3g} ({row.rates[0]:.3g} to {row.rates[-1]:.3g})" if row.rates else ""


def _measured(rows: Sequence[Row]) -> Table:
    unit, scale = unit_of(max((energy for row in rows for energy in row.energy.values()), default=0))
    columns = {
        "method": "method",
        "accuracy": "test accuracy",
        "parameters": "parameters (M)",
        "timesteps": "T",
        "macs": "MACs (M)",
        "memory": "training memory, MB per image",
        "speed": "images/s (lowest to highest)",
        "rate": "firing rate",
        **{name: f"{name} {unit}" for name in CONVENTIONS},
    }
    shown = [
        {
            "method": row.label,
            "accuracy": _number(row.method.accuracy, ".2%"),
            "parameters": _number(row.parameters, ".2f", 1e6),
            "timesteps": _number(row.timesteps, "d"),
            "macs": _number(row.macs, ",.0f", 1e6),
            "memory": _number(row.bytes_per_image, ",.1f", 1e6),
            "speed": _speed(row),
            "rate": "" if row.firing_rate is None else f"{row.firing_rate:.2%}{' assumed' if row.assumed else ''}",
            **{name: _number(row.energy.get(name), ",.3f", scale) for name in CONVENTIONS},
        }
        for row in rows
    ]
    if all(row.method.accuracy is None for row in rows):
        del columns["accuracy"]
    return Table("Measured", columns, shown)


def _reported(rows: Sequence[Row]) -> Table:
    columns = {
        "method": "method",
        "parameters": "parameters (M)",
        "memory": "training memory, MB per image",
        "energy": f"{PAPER} mJ",
        "accuracy": "ImageNet top-1",
    }
    shown = []
    for row in rows:
        paper = row.paper
        assert paper is not None, "such rows are given"
        measured = None if row.assumed else row.energy.get(PAPER)  # a rate can be chosen to give any
        shown.append(
            {
                "method": row.label,
                "parameters": _number(paper.parameters, ".1f", 1e6) + _times(row.parameters, paper.parameters),
                "memory": _number(paper.bytes_per_image, ".1f", 1e6)
                + _times(row.bytes_per_image, paper.bytes_per_image),
                "energy": _number(paper.energy, ".2f", 1e9) + _times(measured, paper.energy),
                "accuracy": _number(paper.accuracy, ".1%"),
            }
        )
    return Table("Reported in papers, and in brackets how many times as much was measured", columns, shown)


def _against(rows: Sequence[Row], reference: Row) -> Table:
    columns = {
        "method": "method",
        "bytes_per_image": "training memory",
        "seconds": "time of a step",
        **{name: f"energy, {name}" for name in CONVENTIONS},
    }
    shown: list[dict[str, Any]] = []
    for row in rows:
        cells = {
            name: _number(ours, ".2f") + (f" (paper {theirs:.2f})" if theirs is not None else "")
            for name, (ours, theirs) in ratios(row, reference).items()
        }
        shown.append({"method": row.label, **cells})
    return Table(f"As a multiple of {reference.label}'s", columns, shown)


def _number(value: float | None, form: str, scale: float = 1) -> str:
    return "" if value is None else format(value / scale if scale != 1 else value, form)


def _times(measured: float | None, reported: float | None) -> str:
    return f" ({measured / reported:.2f})" if measured is not None and reported else ""
