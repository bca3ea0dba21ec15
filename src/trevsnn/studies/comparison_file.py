"""The rows of a comparison as JSON, from which an interrupted one goes on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from trevsnn._util.files import read_text
from trevsnn.costs.energy import CONVENTIONS
from trevsnn.studies.comparison import Row, ratios


def row_as_json(row: Row, reference: Row) -> dict[str, Any]:
    """What was measured, and as multiples of the reference's."""
    values = {name: value for name, value in vars(row).items() if name not in ("method", "energy")}
    compared = {name: {"measured": ours, "paper": theirs} for name, (ours, theirs) in ratios(row, reference).items()}
    return {
        "method": row.method.name,
        "accuracy": row.method.accuracy,
        **values,
        **{name: row.energy.get(name) for name in CONVENTIONS},
        "seconds": row.seconds,
        "paper": asdict(row.paper) if row.paper else None,
        "reference": reference.method.name,
        "ratios": compared,
    }


def take_over(rows: Sequence[Row], path: Path, settings: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Fill the rows of untrained networks with what a file has of them; what failed then is tried again.

    Args:
        rows: to fill, those of which method, batch size and number of timesteps are known.
        path: a JSON file of such rows and of the settings.
        settings: what they have to be measured with, all but the number of repeats; `machine` as `describe` returns
            it, but for what is not installed.

    Returns:
        What the file has of other methods, batch sizes and T.

    Raises:
        ValueError: for another file, or one of other settings or another machine.
    """
    try:
        saved = {
            (one["method"], one["batch"], one["timesteps"]): (one, {**one, **one["machine"]})
            for one in json.loads(read_text(path))
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"json file {str(path)!r} is not one of trevsnn compare; leave --resume out") from error
    now = {**settings, **settings["machine"]}
    for _, before in saved.values():
        for name in now.keys() - {"repeats", "machine"}:
            unknown = name in settings["machine"] and None in (before.get(name), now[name])
            if not unknown and before.get(name) != now[name]:
                raise ValueError(
                    f"json file {str(path)!r} was measured with {name}={before.get(name)!r}, not {now[name]!r}; give "
                    "another, or leave --resume out"
                )
    for row in rows:
        one, _ = saved.get((row.method.name, row.batch, row.timesteps), ({}, {}))
        if one.get("input_size") and one.get("error") is None:
            _fill(row, one)
    asked = {(row.method.name, row.batch, row.timesteps) for row in rows}
    return [one for key, (one, _) in saved.items() if not asked & {key, (*key[:2], None)}]


def _fill(row: Row, saved: Mapping[str, Any]) -> None:
    for field in fields(Row):
        if field.name not in ("method", "energy") and field.name in saved:
            setattr(row, field.name, saved[field.name])
    row.input_size = tuple(saved["input_size"])
    row.energy = {name: saved[name] for name in CONVENTIONS if saved.get(name) is not None}
