"""A report as HTML: one page that needs nothing but itself."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, StrictUndefined

from trevsnn import __version__
from trevsnn._util.table import Table
from trevsnn._util.units import megabytes, unit_of
from trevsnn.costs.energy import (
    ACCUMULATE_ENERGY,
    CONVENTIONS,
    MAC_ENERGY,
    PAPER,
    LayerCost,
    mean_firing_rate,
    totals,
)
from trevsnn.costs.machine import describe
from trevsnn.costs.step_memory import PARTS
from trevsnn.report import figures
from trevsnn.report.findings import Findings, TrainedRun
from trevsnn.report.potentials import Potentials
from trevsnn.training.progress import format_time

_TEMPLATE = Path(__file__).with_name("page.html")
_MOST_CONFUSIONS = 10
_UNNAMED = ("", "")
"""Headings of a table of names and what they stand for."""


def render(run: TrainedRun, findings: Findings) -> str:
    """The page, HTML."""
    parts = _parts(findings.costs)
    things = "recordings" if run.model.config.frames else "images"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        run=run.name,
        version=__version__,
        time=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        machine=_machine(next(run.model.parameters()).device),
        thing=things.removesuffix("s"),
        things=things,
        summary=_summary(run, findings, things),
        remarks=findings.remarks,
        curves=[
            figures.curve(run.history, "test_accuracy", "Accuracy on the test split", "test accuracy, %"),
            figures.curve(run.history, "test_loss", "Cross-entropy on the test split", "test loss, nats"),
            figures.curve(run.history, "loss", "Loss in training, of all classifiers", "training loss, nats"),
            figures.curve(run.history, "lr", "Learning rate at the start of the epoch", "learning rate"),
        ],
        epochs=_epochs(run, things),
        evaluation=findings.evaluation,
        test_images=len(run.dataset.test),
        split=run.dataset.split,
        confusion=figures.confusion(findings.evaluation.confusion, run.dataset.class_names, things),
        confusions=_confusions(run, findings, things),
        bad=findings.bad,
        energy_images=findings.energy_images,
        per_mac=MAC_ENERGY,
        per_accumulate=ACCUMULATE_ENERGY,
        conventions=CONVENTIONS,
        energy=[figures.energy(parts), figures.firing_rates(findings.costs)],
        energy_table=_energy(parts),
        layers=_layers(findings.costs),
        threshold=findings.potentials.neuron.threshold,
        window=findings.potentials.neuron.window,
        potentials=[figures.potentials(findings.potentials, level) for level in range(len(run.model.config.channels))],
        rates=_rates(findings.potentials),
        memory=_memory(run, findings),
        maps=[figures.spike_maps(shown, run.preprocessing, run.dataset.class_names) for shown in findings.shown],
        configuration=_configuration(run),
    )


def _summary(run: TrainedRun, findings: Findings, things: str) -> Table:
    model = run.model
    evaluation = findings.evaluation
    costs = findings.costs
    energies = {name: cost.energy for name, cost in totals(costs).items()}
    unit, scale = unit_of(energies[PAPER])
    return Table.of_lists(
        "The run in short",
        _UNNAMED,
        [
            ("test accuracy", f"{evaluation.accuracy:.2%} of {evaluation.images:,} {things}"),
            ("data", f"{run.dataset.name}, {len(run.dataset.class_names):,} classes"),
            ("network", f"{run.info.model}, {model.config.timesteps} steps, {len(model.config.channels)} levels"),
            ("parameters", f"{sum(p.numel() for p in model.parameters()):,}"),
            ("epochs", _of(len(run.history), run.config.epochs)),
            ("training time", format_time(sum(row["seconds"] for row in run.history)) + ", tests aside"),
            ("energy", ", ".join(f"{energy / scale:,.3g} {unit} {name}" for name, energy in energies.items())),
            ("mean firing rate", f"{mean_firing_rate(costs):.2%}"),
            ("weights", ", ".join(filter(None, (run.weights, run.info.note)))),
        ],
    )


def _machine(device: torch.device) -> str:
    known = describe(device)
    threads = f"{known['threads']} thread{'s' * (known['threads'] != 1)}"
    return f"{known['device']}, {threads}; Python {known['python']}, PyTorch {known['torch']}"


def _of(count: int, everything: int) -> str:
    return f"{count:,}" if count == everything else f"{count:,} of {everything:,}"


def _epochs(run: TrainedRun, things: str) -> Table:
    last, best = run.history[-1], max(run.history, key=lambda row: row["test_accuracy"])
    return Table.of_lists(
        "Epochs",
        ("", "epoch", "test accuracy", "test loss", "loss", f"{things}/s"),
        [
            (
                name,
                f"{row['epoch']:,}",
                f"{row['test_accuracy']:.2%}",
                f"{row['test_loss']:.4g}",
                f"{row['loss']:.4g}",
                f"{row['images_per_second']:,.0f}",
            )
            for name, row in (("best", best), ("last", last))
        ],
    )


def _confusions(run: TrainedRun, findings: Findings, things: str) -> Table:
    """The pairs of classes that are taken for each other most often."""
    counts = findings.evaluation.confusion
    names = run.dataset.class_names
    wrong = counts - counts.diag().diag()
    best = wrong.flatten().topk(min(_MOST_CONFUSIONS, wrong.numel()))
    rows = []
    for count, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        label, found = divmod(place, len(names))
        if count:
            rows.append((names[label], names[found], f"{count:,} of {int(counts[label].sum()):,}"))
    return Table.of_lists("Most frequent mistakes", ("class", "taken for", things), rows)


def _parts(costs: Sequence[LayerCost]) -> dict[str, list[LayerCost]]:
    """The layers of the stem, of each level and of the head."""
    parts: dict[str, list[LayerCost]] = {}
    for cost in costs:
        kind = cost.layer.kind
        name = "stem" if kind == "stem" else "head" if cost.layer.level is None else f"level {cost.layer.level}"
        parts.setdefault(name, []).append(cost)
    return parts


def _energy(parts: Mapping[str, Sequence[LayerCost]]) -> Table:
    everything = [cost for part in parts.values() for cost in part]
    unit, scale = unit_of(totals(everything)[PAPER].energy)
    return Table.of_lists(
        "Energy of the parts of the network",
        ("", "MACs (M)", "firing rate", *(f"{name} ({unit})" for name in CONVENTIONS)),
        [
            (
                name,
                f"{sum(cost.layer.macs for cost in costs) / 1e6:,.2f}",
                f"{mean_firing_rate(costs):.2%}" if any(cost.firing_rate is not None for cost in costs) else "",
                *(f"{cost.energy / scale:,.3f}" for cost in totals(costs).values()),
            )
            for name, costs in {**parts, "total": everything}.items()
        ],
    )


def _layers(costs: Sequence[LayerCost]) -> Table:
    return Table.of_lists(
        "Layers, in the order in which they are computed",
        (
            *("layer", "step", "level", "block", "MACs (M)", "firing rate", "silent"),
            *(f"{name} (µJ)" for name in CONVENTIONS),
        ),
        [
            (
                cost.layer.name,
                *("" if n is None else str(n) for n in (cost.layer.step, cost.layer.level, cost.layer.block)),
                f"{cost.layer.macs / 1e6:,.3f}",
                "" if cost.firing_rate is None else f"{cost.firing_rate:.2%}",
                "" if cost.layer.silent is None else f"{cost.layer.silent:.2%}",
                *(
                    f"{own.energy / 1e6:,.4f}{' merged' if cost.merged and name == 'strict' else ''}"
                    for name, own in cost.by.items()
                ),
            )
            for cost in costs
        ],
    )


def _rates(counted: Potentials) -> Table:
    steps = range(counted.counts.shape[0])
    shares = torch.cat([counted.firing_rate, counted.window_share.mean(0, keepdim=True)])
    return Table.of_lists(
        "Key neurons that fire, by step, and that lie in the surrogate window",
        ("", *(f"step {t}" for t in steps), "in the window"),
        [(f"level {level}", *(f"{share:.1%}" for share in row)) for level, row in enumerate(shares.T.tolist())],
    )


def _memory(run: TrainedRun, findings: Findings) -> Table:
    device = next(run.model.parameters()).device.type
    steps = findings.memory
    batch = findings.memory_batch
    size = " x ".join(map(str, run.preprocessing.input_size[1:]))
    run_batches = findings.memory_measured
    how = "" if len(run_batches) == 1 else f", about, by a line through steps of {' and '.join(map(str, run_batches))}"
    return Table.of_lists(
        f"MB of a training step of {batch} inputs of {size}, {run.config.precision}, on the {device.upper()}{how}",
        ("", *steps),
        [
            (
                words,
                *("out of memory" if step is None else megabytes(getattr(step, name)) for step in steps.values()),
            )
            for name, words in PARTS.items()
        ],
    )


def _configuration(run: TrainedRun) -> list[Table]:
    kinds = {
        "Settings of the run": {"dataset": run.dataset.name, **run.config.by_name()},
        "Options of the network": asdict(run.model.config),
        "Preparation of the input": asdict(run.preprocessing),
    }
    return [
        Table.of_lists(
            caption, _UNNAMED, [(name, _written(value)) for name, value in values.items() if value is not None]
        )
        for caption, values in kinds.items()
    ]


def _written(value: Any) -> str:
    text = ", ".join(map(_written, value)) if isinstance(value, list | tuple) else str(value)
    return text or "none"
