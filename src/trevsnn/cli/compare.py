"""`trevsnn compare`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from trevsnn._util.files import write_text
from trevsnn._util.suggest import shortened, suggest
from trevsnn.choices import Device, Precision
from trevsnn.cli.found_data import with_data
from trevsnn.cli.methods import cases_of, method_of
from trevsnn.cli.output import check_file, check_json, one_by_one, plain_console, write_json
from trevsnn.costs.machine import describe, named_values
from trevsnn.costs.operations import check_firing_rate
from trevsnn.data import LabelledData
from trevsnn.models.baselines.memopt import SEARCH_LIMIT
from trevsnn.models.config import check_count
from trevsnn.studies.comparison import (
    REVERSIBLE,
    Row,
    measure,
)
from trevsnn.studies.comparison_file import row_as_json, take_over
from trevsnn.studies.comparison_tables import comparison_tables, notes, sweep_tables
from trevsnn.studies.papers import REFERENCE
from trevsnn.training import choose_device

METHODS = (
    "trevsnn_tiny",
    "trevsnn_small",
    "ms_resnet34",
    "trev_ms_resnet34",
    "sdt_8_512",
    "sew_resnet34",
    "sew_resnet34-memopt",
)
BATCHES = {"cpu": 4, "cuda": 64}


def compare(
    *methods: str,
    reference: str | None,
    device: Device,
    batch: str | None,
    precision: Precision,
    timesteps: str,
    resolution: int | None,
    repeats: int,
    firing_rate: float,
    search_limit: float | None,
    plot: Path | None,
    output: Path | None,
    json: Path | None,
    resume: bool,
) -> None:
    """See `trevsnn.cli.commands.compare`."""
    check_json(json)
    check_file(plot, "plot file")
    check_file(output, "output file")
    place = choose_device(device)
    batches = _several("batch", str(BATCHES[place.type]) if batch is None else batch)
    steps = _several("timesteps", timesteps)
    check_count("repeats", repeats, 1)
    if resolution is not None:
        check_count("resolution", resolution, 1)
    check_firing_rate(firing_rate)
    data: dict[str, LabelledData] = {}
    limit = SEARCH_LIMIT if search_limit is None else search_limit
    make = partial(method_of, resolution=resolution, firing_rate=firing_rate, search_limit=limit, data=data)
    cases = cases_of(methods or METHODS, batches, steps, make)
    rows = [row for case in cases for row in case]
    sweep = len(cases) > 1
    base = _reference(rows, reference)
    machine = describe(place)
    settings = {"device": place.type, "precision": precision, "repeats": repeats, "resolution": resolution}
    settings |= {"assumed_firing_rate": firing_rate, "machine": machine}
    others = _taken_over(rows, json, settings) if resume else []

    def save() -> None:
        if any(row.parameters is not None for row in rows):
            listed = [with_data([row_as_json(row, base(row)) | settings], data.get(row.method.name)) for row in rows]
            write_json([*(row for (row,) in listed), *others], json)

    about = f"batch {', '.join(map(str, batches))}, {precision}"
    try:
        for case in cases:
            where = f"batch {case[0].batch}, T = {case[0].timesteps}: " if sweep else ""
            measure(case, place, precision, repeats, partial(_with_bar, where=where), save)
    finally:  # what there is after Ctrl-C, too
        save()
        if any(row.parameters is not None for row in rows):
            _report(rows, base, sweep, f"{about}, repeats {repeats}; {named_values(machine)}", output)
            if plot is not None:
                _plot(rows, sweep, f"{about}, {machine['device']}", plot)
    if all(row.error is not None for row in rows):
        raise ValueError(f"every method failed; {shortened([f'{row.label}: {row.error}' for row in rows])}")


def _taken_over(rows: Sequence[Row], json: Path | None, settings: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a file holds besides the rows, which take what it has of them; nothing where it is not there yet.

    Raises:
        ValueError: when no file was named.
    """
    if json is None:
        raise ValueError("resume=True goes on from a JSON file; give --json FILE")
    return take_over(rows, json, settings) if json.exists() else []


def _several(name: str, text: str) -> list[int]:
    """The numbers of a list with commas.

    Raises:
        ValueError: when they are not.
    """
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{name}={text!r} must be integers with commas between them, 4 or 1,2,4") from None
    for number in numbers:
        check_count(name, number, 1)
    return list(dict.fromkeys(numbers))


def _reference(rows: Sequence[Row], name: str | None) -> Callable[[Row], Row]:
    """What a row is compared with: the method of this name, with the same batch, and where it can be the same T."""
    names = [row.method.name for row in rows]
    if name is None:
        name = REFERENCE if REFERENCE in names else names[0]
    name = name.removesuffix(REVERSIBLE)
    if name not in names:
        raise ValueError(f"reference={name!r} is none of the methods; {suggest(name, names)}")
    references = [row for row in rows if row.method.name == name]

    def reference_of(row: Row) -> Row:
        alike = [one for one in references if one.batch == row.batch]
        return next((one for one in alike if one.timesteps == row.timesteps), alike[0])

    return reference_of


def _with_bar(rows: Iterable[Row], what: str, where: str = "") -> Iterable[Row]:
    """The rows, with a bar on a terminal."""
    return one_by_one(rows, where + what)


def _report(rows: Sequence[Row], reference: Callable[[Row], Row], sweep: bool, about: str, output: Path | None) -> None:
    base = reference(rows[0])
    tables = sweep_tables(rows, base.label) if sweep else comparison_tables(rows, base)
    lines = notes(rows)
    if any(row.assumed for row in rows) and not sweep:
        lines.append("energy of untrained networks: every neuron is assumed to fire at the same rate")
    lines.append(f"measured with {about}")
    for table in tables:
        table.show(plain_console())
    for line in lines:
        plain_console().print(line, soft_wrap=True)
    if output is not None:
        listed = "\n".join(f"- {line}" for line in lines)
        write_text(output, "\n\n".join([*(table.markdown() for table in tables), listed]) + "\n")


def _plot(rows: Sequence[Row], sweep: bool, title: str, path: Path) -> None:
    from trevsnn.plots.style import save_png  # matplotlib is slow to import
    from trevsnn.studies.comparison_picture import comparison_picture, sweep_picture

    save_png((sweep_picture if sweep else comparison_picture)(rows, title), path)
