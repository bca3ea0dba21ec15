"""`trevsnn gradients`."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import numpy as np
import torch
from cyclopts import Parameter
from rich.progress import track

from trevsnn.cli.ablate import the_same_command_goes_on
from trevsnn.cli.open_run import Trained, load_data, load_trained
from trevsnn.cli.output import (
    JsonFile,
    check_file,
    check_json,
    plain_console,
    show_data,
    show_table,
    with_data,
    write_json,
)
from trevsnn.data import BadImages, LabelledData, default_workers, evaluation_batches, load_dataset
from trevsnn.data.loading import Batch, readable
from trevsnn.data.seeding import LAYERS, seed_of
from trevsnn.data.splitting import Subset
from trevsnn.models.config import check_count
from trevsnn.studies.ablation import Ablation, AblationRuns, variant_of
from trevsnn.studies.temporal_gradients import CUTS, LayerSimilarity, cuts_of, temporal_gradient_study
from trevsnn.training import Learner, NonFiniteError, TrainConfig, choose_device
from trevsnn.training.config import Device, Whole, parse_config
from trevsnn.training.learner import training_loss
from trevsnn.training.recipes import read_recipe

DATASET, MODEL, EPOCHS, SEEDS = "digits", "ms_resnet_digits", 8, (0, 1, 2)
"""What is trained where no run is given."""
OUTPUT = Path("runs/gradients")
"""And where to."""


def gradients(
    *runs: Path,
    data: Path | None = None,
    val_split: float | None = None,
    images: Whole = 256,
    seed: Whole = 0,
    skip_bad_images: Annotated[bool, Parameter(negative=())] = False,
    workers: Whole | None = None,
    device: Device = "auto",
    output: Path | None = None,
    plot: Path | None = None,
    json: JsonFile = None,
) -> None:
    """Cut the temporal gradient at chosen neurons, and compare each layer's gradients with the uncut ones.

    The figures are cosine similarities, means over batches of training images, with the lowest and the highest run
    where there are several. "spatial" is the gradient of a layer's output, "weight" that of its weight.

    Without a run, an ordinary network (ms_resnet_digits) is trained on digits first, 8 epochs with each of three seeds;
    the same command goes on where it was stopped, and trains nothing twice.

    Args:
        runs: Run folders, or weights files from them: several of one network, of several seeds for example.
        data: Folder that holds the data set; by default what the run was trained on.
        val_split: Share of the images that are for testing, of a data set without val/; by default the run's.
        images: How many training images to use, drawn at random, in batches of 64.
        seed: Of that draw, and of dropout and stochastic depth.
        skip_bad_images: Leave out images that cannot be read; otherwise the first stops.
        workers: Processes that read images; by default one per CPU core, at most 8.
        device: Where to compute; auto takes CUDA where there is a GPU.
        output: Folder for the runs of digits, where no run is given; by default runs/gradients.
        plot: Also draw the spatial similarities to this PNG file.
        json: Also write the table to this file, a row per run and layer.
    """
    check_json(json)
    check_file(plot, "plot file")
    if images < 2:
        raise ValueError(f"images={images} must be at least 2")
    check_count("seed", seed, 0)
    if workers is not None:
        check_count("workers", workers, 0)
    if runs and output is not None:
        raise ValueError(f"output={str(output)!r} is for runs of digits, but a run is given; leave --output out")
    for option, value in (("--data", data), ("--val-split", val_split)):
        if value is not None and not runs:
            raise ValueError(f"{option} {value} is for a run; without one, digits are used: leave {option} out")
    place = choose_device(device)
    runs = runs or _trained_on_digits(output or OUTPUT, device)
    everything = [load_trained(run, place) for run in runs]
    for trained in everything:
        cuts_of(trained.model)
    bad, console = BadImages(skip_bad_images), plain_console()
    studies: list[list[LayerSimilarity]] = []
    used: list[int] = []
    datasets: list[LabelledData] = []
    for trained in track(everything, "studying", console=console, transient=True, disable=not console.is_terminal):
        dataset = load_data(trained, data, val_split)
        study, count = _study(trained, dataset, images, seed, workers, bad)
        datasets.append(dataset)
        studies.append(study)
        used.append(count)
        if [s.layer for s in studies[-1]] != [s.layer for s in studies[0]]:
            raise ValueError(f"run {str(trained.file)!r} is of another network than {str(everything[0].file)!r}")
    rows = [
        row
        for run, dataset, study in zip(runs, datasets, studies, strict=True)
        for row in with_data(
            [{"run": str(run), "layer": s.layer, "spatial": s.spatial, "weight": s.weight} for s in study], dataset
        )
    ]
    write_json(rows, json)
    _show(studies)
    for message in sorted(bad.known):
        console.print(f"left out: {message}", soft_wrap=True)
    if plot is not None:
        from trevsnn.plots.gradients import gradients_figure  # matplotlib is slow to import
        from trevsnn.plots.style import save_png

        layers = [s.layer for s in studies[0]]
        by_cut = {cut: [[s.spatial[cut] for s in study] for study in studies] for cut in studies[0][0].spatial}
        first = everything[0]
        number = " or ".join(f"{count:,}" for count in sorted(set(used)))  # runs may be of different data
        title = f"spatial gradients of {first.info.model} on {first.info.dataset}, {len(runs)} run(s), {number} images"
        save_png(gradients_figure(layers, by_cut, CUTS, title), plot)


def _trained_on_digits(output: Path, device: Device) -> tuple[Path, ...]:
    data = load_dataset(DATASET)
    show_data(data)
    _, settings = parse_config(read_recipe(DATASET), DATASET)
    config = TrainConfig(**{**settings, "model": MODEL, "epochs": EPOCHS, "device": device})
    network = variant_of(MODEL, Learner(config, data))
    runs = AblationRuns(Ablation(base=network, questions={}, left_out={}), data, output, SEEDS)
    runs.check()
    with the_same_command_goes_on():
        for _ in runs.train(plain_console()):
            pass
    if runs.failures:
        raise NonFiniteError(f"of {len(SEEDS)} runs diverged {len(runs.failures)}: {', '.join(runs.failures.values())}")
    return tuple(runs.folder(network, seed).path for seed in SEEDS)


def _study(
    trained: Trained,
    dataset: LabelledData,
    images: int,
    seed: int,
    workers: int | None,
    bad: BadImages,
) -> tuple[list[LayerSimilarity], int]:
    """The study of a network, and how many images could be used."""
    if dataset.train is None:
        raise ValueError(f"the {dataset.name} data has no images to train on; give --val-split 0.1, or add train/")
    drawn = np.random.default_rng(seed).permutation(len(dataset.train))[:images]
    workers = default_workers(dataset.in_memory) if workers is None else workers
    batches = evaluation_batches(Subset(dataset.train, drawn), trained.preprocessing, workers=workers)
    sizes: list[int] = []

    def counted() -> Iterator[Batch]:
        for batch in readable(batches, bad):
            sizes.append(len(batch.targets))
            yield batch

    torch.manual_seed(seed_of(seed, LAYERS))
    study = temporal_gradient_study(trained.model, partial(training_loss, trained.config), counted())
    if not sizes:
        raise ValueError("there is no image to train on that can be read")
    return study, sum(sizes)


def _show(studies: Sequence[Sequence[LayerSimilarity]]) -> None:
    """A row per layer, and their mean; a column per kind of gradient and cut."""
    cuts = [cut for cut in studies[0][0].spatial if cut != "none"]
    columns = {f"{kind} {cut}": f"{kind}, cut {cut}" for kind in ("spatial", "weight") for cut in cuts}
    by_run = [[_flat(s) for s in study] for study in studies]
    rows = [
        {"layer": layers[0]["layer"]} | {name: _range([layer[name] for layer in layers]) for name in columns}
        for layers in zip(*by_run, strict=True)
    ]
    means = {name: [_mean([layer[name] for layer in layers]) for layers in by_run] for name in columns}
    rows.append({"layer": "mean of all"} | {name: _range(values) for name, values in means.items()})
    show_table(rows, {"layer": "layer"} | columns)
    plain_console().print("; ".join(f"{cut}: cut {CUTS[cut]}" for cut in cuts), soft_wrap=True)


def _flat(s: LayerSimilarity) -> dict[str, Any]:
    values = {"spatial": s.spatial, "weight": s.weight}
    return {"layer": s.layer} | {f"{kind} {cut}": found[cut] for kind, found in values.items() for cut in found}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def _range(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    spread = f" ({min(known):.3f} to {max(known):.3f})" if len(known) > 1 else ""
    return f"{mean(known):.3f}{spread}"
