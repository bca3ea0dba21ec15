"""What a report says of a run, measured."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from trevsnn.costs.energy import LayerCost, layer_costs
from trevsnn.costs.operations import measure_operations
from trevsnn.costs.remarks import chance_remark, firing_remarks
from trevsnn.costs.step_memory import StepMemory, measure_step
from trevsnn.data import BadImages, FramePreprocessing, LabelledData, Preprocessing, evaluation_batches
from trevsnn.data.loading import TEST_BATCH, Batch
from trevsnn.data.splitting import spread
from trevsnn.models import TRevSNN, WeightsInfo
from trevsnn.report.potentials import Potentials
from trevsnn.reversible import Memory, StepState
from trevsnn.training import TrainConfig, evaluate
from trevsnn.training.evaluation import Evaluation

ENERGY_IMAGES = 256
SHOWN_IMAGES = 4
SMALL_BATCH = 8
"""Images of a training step that a CPU is always asked for."""
MOST_BYTES = 2e9
"""What a larger step may take there; of still larger ones smaller ones tell."""


@dataclass(frozen=True)
class SpikeMaps:
    """One image or clip in the network."""

    pixels: Tensor
    """(C, H, W), or (T, 2, H, W) of a clip, as the network receives it."""
    label: int
    """Its class."""
    probabilities: Tensor
    """(num_classes,)."""
    maps: Sequence[Sequence[Tensor]]
    """maps[t][l], (H_l, W_l): share of the channels that fire at each place, 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """What a run left."""

    name: str
    """Of its folder."""
    weights: str
    """Name of the weights file."""
    info: WeightsInfo
    model: TRevSNN
    preprocessing: Preprocessing | FramePreprocessing
    dataset: LabelledData
    """What it is tested on."""
    config: TrainConfig
    history: Sequence[Mapping[str, Any]]
    """Metrics, a row per epoch, one at least."""


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What was measured on it."""

    evaluation: Evaluation
    potentials: Potentials
    costs: Sequence[LayerCost]
    energy_images: int
    """How many images the costs are a mean of."""
    shown: Sequence[SpikeMaps]
    memory: Mapping[str, StepMemory | None]
    """Of a training step by setting, None where the device has too little."""
    memory_batch: int
    """Images of that step."""
    memory_measured: Sequence[int]
    """The batches that were run: this one, or two smaller ones, from which a line leads to it."""
    bad: Sequence[str]
    """Messages of images that could not be read."""
    remarks: Sequence[str] = ()
    """What deserves a word."""


def find(run: TrainedRun, *, images: int | None, workers: int, bad: BadImages, console: Console) -> Findings:
    """Run a network on test images and through training steps, on the device that it is on.

    Args:
        run: what to measure; it stays as it is.
        images: how many test images to run, evenly spread over all of them; None for all.
        workers: processes that read images.
        bad: takes note of images that cannot be read.
        console: where a bar is shown, if it is a terminal.

    Raises:
        BadImageError: for an image that cannot be read, unless they are listed.
        ValueError: for no image.
    """

    def batches(count: int, what: str) -> Iterable[Batch]:
        samples = spread(run.dataset.test, count)
        found = evaluation_batches(samples, run.preprocessing, workers=workers)
        return _with_bar(found, what, math.ceil(len(samples) / TEST_BATCH), console)

    model = run.model
    count = len(run.dataset.test) if images is None else images
    potentials = Potentials.none(model.config.timesteps, len(model.config.channels), model.grid.neuron)
    with model.grid.observe(potentials.add):
        evaluation = evaluate(model, batches(count, "testing"), bad)
    operations = measure_operations(model, batches(min(count, ENERGY_IMAGES), "counting operations"), bad)
    shown = [maps for batch in batches(min(count, SHOWN_IMAGES), "spikes") for maps in spike_maps(model, batch, bad)]
    memory, measured = memory_of_steps(
        model, run.config.batch_size, run.preprocessing.input_size[1:], run.config, console
    )
    counts = evaluation.confusion
    chance = chance_remark(int(counts.trace()), counts.sum(1).tolist(), "the run may need more steps or another --lr")
    return Findings(
        evaluation=evaluation,
        potentials=potentials,
        costs=layer_costs(operations),
        energy_images=operations.images,
        shown=shown,
        memory=memory,
        memory_batch=run.config.batch_size,
        memory_measured=measured,
        bad=sorted(bad.known),
        remarks=([chance] if chance else []) + firing_remarks(operations),
    )


def memory_of_steps(
    model: TRevSNN, batch: int, size: tuple[int, int], config: TrainConfig, console: Console
) -> tuple[dict[str, StepMemory | None], tuple[int, ...]]:
    """Of a training step by memory setting, on the device that the network is on, None where that has too little; and
    the batches that were run: this one, or on a CPU two smaller ones, from which a line leads to it.

    Args:
        model: the network; it stays as it is.
        batch: images.
        size: height and width of the input (pixels).
        config: of the run; precision and optimiser are taken from it.
        console: where a bar is shown, if it is a terminal.
    """
    device = next(model.parameters()).device
    settings = get_args(Memory)

    def steps(images: int) -> dict[str, StepMemory | None]:
        found: dict[str, StepMemory | None] = {}
        for setting in _with_bar(settings, f"measuring memory of {images} inputs", len(settings), console):
            network = TRevSNN(replace(model.config, memory=setting)).to(device)
            try:
                found[setting] = measure_step(network, images, size, config.precision, config.optimizer)
            except torch.OutOfMemoryError:
                found[setting] = None
        return found

    if device.type != "cpu" or batch <= SMALL_BATCH:
        return steps(batch), (batch,)
    needed = [step.per_image for step in steps(SMALL_BATCH).values() if step is not None]
    affordable = int(MOST_BYTES / max(needed, default=MOST_BYTES))
    if batch <= affordable:
        return steps(batch), (batch,)
    half = max(1, affordable // 2)
    small, large = steps(half), steps(2 * half)
    found = {name: a and b and a.at(batch, b) for (name, a), b in zip(small.items(), large.values(), strict=True)}
    return found, (half, 2 * half)


@torch.inference_mode()
def spike_maps(model: TRevSNN, batch: Batch, bad: BadImages) -> list[SpikeMaps]:
    """Of every image of a batch."""
    bad.report(batch.bad)
    if not len(batch.targets):
        return []
    clips = model.config.frames
    maps = []

    def note(state: StepState) -> None:
        maps.append([state.spikes(level).mean(1).cpu() for level in range(len(state.membranes))])

    with model.eval().grid.observe(note):
        probabilities = model(batch.images.to(next(model.parameters()).device)).softmax(1).cpu()
    return [
        SpikeMaps(
            batch.images[:, i] if clips else batch.images[i],
            int(label),
            probabilities[i],
            [[level[i] for level in step] for step in maps],
        )
        for i, label in enumerate(batch.targets)
    ]


def _with_bar(items: Iterable[Any], what: str, total: int, console: Console) -> Iterable[Any]:
    return track(items, what, total, console=console, transient=True, disable=not console.is_terminal)
