"""`trevsnn energy`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from trevsnn._util.suggest import suggest
from trevsnn._util.units import unit_of
from trevsnn.choices import Device
from trevsnn.cli.found_data import show_data, with_data
from trevsnn.cli.image_source import ImageSource
from trevsnn.cli.open_run import OpenedImages, Trained, load_trained, open_images
from trevsnn.cli.output import check_file, check_json, say, show_table, write_json
from trevsnn.costs.energy import CONVENTIONS, PAPER, Cost, LayerCost, layer_costs, mean_firing_rate, total, totals
from trevsnn.costs.operations import Operations, assume_operations, measure_operations
from trevsnn.costs.over_time import cost_over_time
from trevsnn.data import FramePreprocessing, LabelledData, Preprocessing, load_dataset
from trevsnn.data.splitting import spread
from trevsnn.models import NetworkConfig, SpikingNetwork, create_model, list_models, weights_info
from trevsnn.models.network import require_trevsnn
from trevsnn.training import choose_device

IMAGES = 256
_COLUMNS = {
    "place": "step/ level/ block",
    "level": "level",
    "step": "step",
    "layer": "layer",
    "macs": "MACs (M)",
    "firing_rate": "firing rate",
    "silent": "silent",
}


def energy(
    network: str,
    /,
    *,
    source: ImageSource,
    firing_rate: float | None,
    images: int | None,
    fold: bool,
    layers: bool,
    over_time: bool,
    plot: Path | None,
    device: Device,
    json: Path | None,
) -> None:
    """See `trevsnn.cli.commands.energy`."""
    check_json(json)
    check_file(plot, "plot file")
    over_time = over_time or plot is not None
    for name, wanted in (("fold", fold), ("layers", layers)):
        if wanted and over_time:
            raise ValueError(f"{name}=True is for the cost at one T; leave --over-time and --plot out")
    trained = _open(network, choose_device(device))
    model, size = trained.model, trained.preprocessing.input_size
    if over_time and require_trevsnn(model, "--over-time").config.frames:
        raise ValueError(f"{network!r} is for clips, whose every step has a frame of its own; leave --over-time out")
    if fold:
        model = require_trevsnn(model, "--fold").fold()
    opened = None
    if firing_rate is None:
        opened = _open_images(network, trained, source)
        operations, about = _measured(network, model, opened, IMAGES if images is None else images)
    elif source == ImageSource() and images is None:
        operations = assume_operations(model, size, firing_rate)
        about = f"every neuron assumed to fire at a rate of {firing_rate:.2%}"
    else:
        raise ValueError(f"firing_rate={firing_rate} is assumed and no image is run; leave the options of images out")
    dataset = opened and opened.dataset
    costs = layer_costs(operations)
    say(f"{network}{', folded' if fold else ''}, {' x '.join(map(str, size))}: {about}")
    if over_time:
        config = require_trevsnn(model, "--over-time").config
        _report_over_time(trained.info.model, config, size, mean_firing_rate(costs), plot, json, dataset)
    else:
        _report_layers(costs, layers, json, dataset)
    if opened is not None:
        say(*opened.left_out)


def _open(network: str, device: torch.device) -> Trained:
    """The network of a run or, untrained, of a name."""
    if network not in list_models():
        if not Path(network).exists():
            raise ValueError(f"{network!r} is neither a run nor a network; {suggest(network, list_models())}")
        return load_trained(Path(network), device)
    model = create_model(network).eval().to(device)
    cfg: dict[str, Any] = model.default_cfg  # type: ignore[assignment]
    if model.config.frames:
        size = cfg["input_size"]
        preprocessing = FramePreprocessing(input_size=size, sensor_size=size[1:], timesteps=model.config.timesteps)
    else:
        names = "input_size", "crop_pct", "interpolation", "mean", "std"
        preprocessing = Preprocessing(**{name: cfg[name] for name in names})
    return Trained(Path(network), model, weights_info(network, model.config), preprocessing)


def _open_images(network: str, trained: Trained, source: ImageSource) -> OpenedImages:
    if network not in list_models():
        return open_images(trained, source)
    if trained.model.config.frames:
        raise ValueError(f"{network!r} by name is untrained, and takes clips; give a run of it, or --firing-rate RATE")
    if source.data is None:
        raise ValueError(f"{network!r} by name is untrained; give a run of it, --data DIR or --firing-rate RATE")
    dataset = load_dataset("imagefolder", source.data, None if source.val_split == 1 else source.val_split)
    show_data(dataset)
    return open_images(trained, source, dataset)


def _measured(network: str, model: SpikingNetwork, opened: OpenedImages, count: int) -> tuple[Operations, str]:
    """The operations on so many test images, and what they were measured on, in words."""
    samples = spread(opened.dataset.test, count)
    operations = measure_operations(model, opened.batches(samples), opened.bad)
    kind = "recordings" if model.config.frames else "images"
    about = f"{operations.images} of {len(opened.dataset.test)} test {kind} of {opened.dataset.name}"
    if network in list_models():
        about += "; its weights are untrained, and a trained network fires otherwise"
    return operations, about


def _report_layers(costs: Sequence[LayerCost], every: bool, json: Path | None, dataset: LabelledData | None) -> None:
    rows = [_row(cost) for cost in costs]
    everything = _sum("total", costs)
    write_json(with_data([*rows, everything], dataset), json)
    unit, scale = unit_of(everything[f"{PAPER}_energy"])
    if every:
        _show(
            [row | {"place": _place(row)} for row in rows], ("µJ", 1e6), except_for=("level", "step", "unmerged_energy")
        )
    elif parts := _by_level_and_step(costs):
        _show(parts, (unit, scale), except_for=("place", "layer", "silent", "unmerged_energy"))
    kinds = dict.fromkeys(cost.layer.kind for cost in costs)
    sums = [_sum(kind, [cost for cost in costs if cost.layer.kind == kind]) for kind in kinds]
    _show([*sums, everything], (unit, scale), except_for=("place", "level", "step", "silent"))
    macs = total(cost.by[PAPER] for cost in costs if cost.firing_rate is None).energy / scale
    driven = Cost(0, sum(cost.layer.macs for cost in costs if cost.firing_rate is not None)).energy / scale
    rate = mean_firing_rate(costs)
    if any(cost.merged for cost in costs):
        say("* merged: counted with the layer before or after it")
    say(f"{PAPER}: {macs:,.3f} {unit} of MACs + {driven:,.3f} {unit} x the mean firing rate, {rate:.2%}")


def _by_level_and_step(costs: Sequence[LayerCost]) -> list[dict[str, Any]]:
    """A row for what is computed once, and one for each step of each level; none where a network has no levels."""
    places = sorted(
        {(c.layer.level, c.layer.step) for c in costs if c.layer.level is not None and c.layer.step is not None}
    )
    rows = [
        {"level": level, "step": step, **_sum("", [c for c in costs if (c.layer.level, c.layer.step) == (level, step)])}
        for level, step in places
    ]
    once = [c for c in costs if c.layer.level is None]
    return [{"level": "stem and head", "step": None, **_sum("", once)}, *rows] if rows and once else rows


def _place(row: Mapping[str, Any]) -> str:
    return "/".join(str(row[name]) for name in ("step", "level", "block") if row[name] is not None)


def _report_over_time(
    name: str,
    config: NetworkConfig,
    size: tuple[int, int, int],
    rate: float,
    plot: Path | None,
    json: Path | None,
    dataset: LabelledData | None,
) -> None:
    points = cost_over_time(config, size, rate)
    rows = [
        {name: value for name, value in vars(point).items() if name != "energy"}
        | {**point.energy, "fusion_share": point.fusion_macs / point.macs}
        for point in points
    ]
    write_json(with_data(rows, dataset), json)
    unit, scale = unit_of(max(point.energy[PAPER] for point in points))
    scales = {"macs": 1e6, "resnet_macs": 1e6} | dict.fromkeys((*CONVENTIONS, "resnet"), scale)
    columns = {
        "timesteps": "T",
        "macs": "MACs (M)",
        "fusion_share": "of these fusion",
        **{name: f"{name} {unit}" for name in CONVENTIONS},
        "resnet_macs": "spiking ResNet-34 MACs (M)",
        "resnet": f"spiking ResNet-34 {unit}",
    }
    show_table([row | {name: f"{row[name] / by:,.3f}" for name, by in scales.items()} for row in rows], columns)
    blocks = sum(config.blocks_per_cell)
    say(f"{blocks} blocks per level in all at every T; mean firing rate {rate:.2%} in both networks")
    say("spiking ResNet-34: the first convolution makes MACs of the image, once; all others accumulate at every step")
    if plot is not None:
        from trevsnn.costs.over_time_picture import over_time_picture  # matplotlib is slow to import
        from trevsnn.plots.style import save_png

        title = f"inference of one image, {' x '.join(map(str, size[1:]))}, mean firing rate {rate:.1%}"
        save_png(over_time_picture(points, name, title), plot)


def _row(cost: LayerCost) -> dict[str, Any]:
    layer = cost.layer
    return {
        "step": layer.step,
        "level": layer.level,
        "block": layer.block,
        "layer": layer.name,
        "macs": layer.macs,
        "firing_rate": cost.firing_rate,
        "silent": layer.silent,
        **_sums([cost]),
    }


def _sum(name: str, costs: Sequence[LayerCost]) -> dict[str, Any]:
    """A row for several layers together."""
    driven = any(cost.firing_rate is not None for cost in costs)
    return {
        "layer": name,
        "macs": sum(cost.layer.macs for cost in costs),
        "firing_rate": mean_firing_rate(costs) if driven else None,
        **_sums(costs),
    }


def _sums(costs: Sequence[LayerCost]) -> dict[str, Any]:
    parts = ("macs", "accumulates", "energy")
    return {
        **{f"{name}_{part}": getattr(cost, part) for name, cost in totals(costs).items() for part in parts},
        "merged": all(cost.merged for cost in costs),
        "unmerged_energy": total(cost.unmerged for cost in costs).energy,
    }


def _show(rows: Sequence[dict[str, Any]], unit: tuple[str, float], except_for: Sequence[str]) -> None:
    """As a table, without columns that say nothing: operations in millions, energy in a unit of so many pJ."""
    energies = {f"{name}_energy": f"{name} {unit[0]}" for name in CONVENTIONS}
    energies["unmerged_energy"] = f"strict unmerged {unit[0]}"
    columns = {
        name: heading
        for name, heading in (_COLUMNS | energies).items()
        if name not in except_for and any(row[name] not in (None, "") for row in rows)
    }
    scales = {"macs": 1e6} | dict.fromkeys(energies, unit[1])
    shown = [
        {name: "" if row[name] is None else row[name] for name in columns}
        | {name: f"{row[name] / scale:,.3f}" for name, scale in scales.items() if name in columns}
        for row in rows
    ]
    for line, row in zip(shown, rows, strict=True):
        line["strict_energy"] += " *" if row["merged"] else ""
    show_table(shown, columns)
