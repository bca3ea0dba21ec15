"""`trevsnn models`: all of it; what it shows is recorded, for building the networks takes PyTorch and its time."""

import csv
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

from trevsnn.cli.output import check_json, show_table, write_json
from trevsnn.cli.parameters import JsonFile

_NUMBERS = ("parameters_training", "parameters_deployed", "macs", "timesteps")
_COLUMNS = {
    "name": "name",
    "parameters_training": "parameters",
    "parameters_deployed": "deployed",
    "macs": "MACs (M)",
    "timesteps": "timesteps",
    "input_size": "input",
}


def recorded_networks() -> list[dict[str, Any]]:
    """The networks that can be built here, as networks.csv has them."""
    text = (files("trevsnn.cli") / "networks.csv").read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = []
    for row in csv.DictReader(text.splitlines()):
        package = row.pop("needs")
        if not package or find_spec(package):
            rows.append(row | {name: int(row[name]) for name in _NUMBERS})
    return rows


def models(*, json: JsonFile = None) -> None:
    """List the networks: parameters, multiply-accumulates of one image, time steps, input size.

    Args:
        json: Also write the table to this file.
    """
    check_json(json)
    rows = recorded_networks()
    write_json(rows, json)
    show_table([row | {"macs": round(row["macs"] / 1e6)} for row in rows], _COLUMNS)
