"""`trevsnn compare`."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.progress import track

from trevsnn._util.files import write_text
from trevsnn._util.suggest import shortened, suggest
from trevsnn.cli.energy import IMAGES
from trevsnn.cli.open_run import load_data, load_trained
from trevsnn.cli.output import JsonFile, check_file, check_json, plain_console, with_data, write_json
from trevsnn.costs.energy import CONVENTIONS
from trevsnn.costs.machine import describe, named_values
from trevsnn.costs.operations import Operations, check_firing_rate, measure_operations
from trevsnn.data import LabelledData, default_workers, evaluation_batches
from trevsnn.data.splitting import spread
from trevsnn.models import SpikingNetwork, list_models
from trevsnn.models.baselines import BASELINES
from trevsnn.models.config import check_count
from trevsnn.reversible import check_memory
from trevsnn.studies.comparison import (
    FIRING_RATE,
    MEMOPT,
    REVERSIBLE,
    InputSize,
    Method,
    Row,
    measure,
    named_method,
    ratios,
)
from trevsnn.studies.comparison_tables import comparison_tables, notes
from trevsnn.studies.papers import REFERENCE
from trevsnn.training import RunFolder, choose_device
from trevsnn.training.config import Device, Whole
from trevsnn.training.precision import Precision

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
    reference: str | None = None,
    device: Device = "auto",
    batch: Whole | None = None,
    precision: Precision = "fp32",
    timesteps: Whole = 4,
    resolution: Whole | None = None,
    repeats: Whole = 5,
    firing_rate: float = FIRING_RATE,
    plot: Path | None = None,
    output: Path | None = None,
    json: JsonFile = None,
) -> None:
    """Measure methods side by side: parameters, operations, training memory, speed and energy, next to the papers'.

    A step is the same for all: forward pass, cross-entropy, backward pass, on random images; gradients are there
    beforehand, and there is no optimizer. Methods take turns. Energy is that of `trevsnn energy`.

    Args:
        methods: Names of networks (see `trevsnn models`) or run folders. A memory setting may follow a network of this
            library (trevsnn_small:packed), and -memopt one of SpikingJelly's, for its memory optimised by SpikingJelly.
        reference: Method that the others are compared with; by default trevsnn_small, or without it the first.
        device: Where to train; auto takes CUDA where there is a GPU.
        batch: Images in a step; by default 4 on a CPU and 64 on a GPU.
        precision: bf16 and fp16 are autocast.
        timesteps: T of the networks by name.
        resolution: Height and width of their images (pixels); each network's own by default.
        repeats: Timed visits to each method.
        firing_rate: Of every neuron of the networks by name, which are untrained, 0 to 1; by default what makes the
            paper's 2.8 mJ of trevsnn_small.
        plot: Also draw memory, speed and energy to this PNG file.
        output: Also write the tables to this Markdown file.
        json: Also write the table to this file, in bytes, seconds and pJ.
    """
    check_json(json)
    check_file(plot, "plot file")
    check_file(output, "output file")
    place = choose_device(device)
    batch = BATCHES[place.type] if batch is None else batch
    for name, value in (("batch", batch), ("timesteps", timesteps), ("repeats", repeats)):
        check_count(name, value, 1)
    if resolution is not None:
        check_count("resolution", resolution, 1)
    check_firing_rate(firing_rate)
    data: dict[str, LabelledData] = {}
    rows = [Row(_method(name, timesteps, resolution, firing_rate, data), batch) for name in methods or METHODS]
    base = _reference(rows, reference)
    settings = {"device": place.type, "precision": precision, "repeats": repeats, "assumed_firing_rate": firing_rate}
    try:
        measure(rows, place, precision, repeats, _with_bar)
    finally:  # what there is after Ctrl-C, too
        if any(row.parameters is not None for row in rows):
            listed = [with_data([_as_json(row, base) | settings], data.get(row.method.name)) for row in rows]
            write_json([row for (row,) in listed], json)
            machine = describe(place)
            about = f"batch {batch}, {precision}, repeats {repeats}; {named_values(machine)}"
            _report(rows, base, about, output)
            if plot is not None:
                from trevsnn.plots.style import save_png  # matplotlib is slow to import
                from trevsnn.studies.comparison_picture import comparison_picture

                save_png(comparison_picture(rows, f"batch {batch}, {precision}, {machine['device']}"), plot)
    if all(row.error is not None for row in rows):
        raise ValueError(f"every method failed; {shortened([f'{row.label}: {row.error}' for row in rows])}")


def _method(
    name: str, timesteps: int, resolution: int | None, firing_rate: float, data: dict[str, LabelledData]
) -> Method:
    """A run, whose data set comes into `data`, or an untrained network.

    Raises:
        ValueError: when it is neither, or its options do not fit; a network that a package is missing for comes to
            nothing later.
    """
    network, _, memory = name.removesuffix(MEMOPT).partition(":")
    memopt = name.endswith(MEMOPT)
    if network not in (*list_models(), *BASELINES):
        if not Path(name).exists():
            raise ValueError(f"{name!r} is neither a run nor a network; {suggest(network, list_models())}")
        return _run(name, data)
    if memopt and network not in BASELINES:
        raise ValueError(f"{name!r}: {MEMOPT} is for SpikingJelly's networks, {', '.join(BASELINES)}")
    if memory:
        if network in BASELINES:
            raise ValueError(f"{name!r}: a memory setting is not for SpikingJelly's networks; leave :{memory} out")
        check_memory(memory)
    method = named_method(
        network, memory=memory, memopt=memopt, timesteps=timesteps, resolution=resolution, firing_rate=firing_rate
    )
    if network in list_models():
        with torch.device("meta"):
            model, size = method.build()
            model.check_input(torch.empty(model.config.input_shape(1, *size[1:])))
    return method


def _run(folder: str, data: dict[str, LabelledData]) -> Method:
    """What a run left, its energy and rates measured on test images."""
    trained = load_trained(Path(folder), torch.device("cpu"))
    dataset = data[folder] = load_data(trained, None, None)
    history = RunFolder(folder).read_metrics() if Path(folder).is_dir() else []

    def count(model: SpikingNetwork, size: InputSize) -> Operations:
        samples, workers = spread(dataset.test, IMAGES), default_workers(dataset.in_memory)
        return measure_operations(model, evaluation_batches(samples, trained.preprocessing, workers=workers))

    return Method(
        name=folder,
        build=lambda: (trained.model, trained.preprocessing.input_size),
        count=count,
        accuracy=history[-1]["test_accuracy"] if history else None,
    )


def _reference(rows: Sequence[Row], name: str | None) -> Row:
    names = [row.method.name for row in rows]
    if name is None:
        name = REFERENCE if REFERENCE in names else names[0]
    name = name.removesuffix(REVERSIBLE)
    if name not in names:
        raise ValueError(f"reference={name!r} is none of the methods; {suggest(name, names)}")
    return rows[names.index(name)]


def _with_bar(rows: Iterable[Row], what: str) -> Iterable[Row]:
    """The rows, with a bar on a terminal."""
    console = plain_console()
    return track(rows, what, console=console, transient=True, disable=not console.is_terminal)


def _report(rows: Sequence[Row], reference: Row, about: str, output: Path | None) -> None:
    tables, lines = comparison_tables(rows, reference), notes(rows)
    if any(row.assumed for row in rows):
        lines.append("energy of untrained networks: every neuron is assumed to fire at the same rate")
    lines.append(f"measured with {about}")
    for table in tables:
        table.show(plain_console())
    for line in lines:
        plain_console().print(line, soft_wrap=True)
    if output is not None:
        listed = "\n".join(f"- {line}" for line in lines)
        write_text(output, "\n\n".join([*(table.markdown() for table in tables), listed]) + "\n")


def _as_json(row: Row, reference: Row) -> dict[str, Any]:
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
