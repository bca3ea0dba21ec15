"""`trevsnn gradients`."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch

from trevsnn.choices import Device
from trevsnn.cli.ablate import the_same_command_goes_on
from trevsnn.cli.found_data import show_data, with_data
from trevsnn.cli.image_source import ImageSource
from trevsnn.cli.open_run import OpenedImages, Trained, load_trained, open_images
from trevsnn.cli.output import check_file, check_json, one_by_one, plain_console, say, show_table, write_json
from trevsnn.data import load_dataset
from trevsnn.data.loading import Batch, readable
from trevsnn.data.seeding import LAYERS, seed_of
from trevsnn.data.splitting import Subset
from trevsnn.models import WeightsInfo
from trevsnn.models.config import check_count
from trevsnn.studies.ablation import Ablation, AblationRuns, variant_of
from trevsnn.studies.temporal_gradients import CUTS, LayerSimilarity, cuts_of, temporal_gradient_study
from trevsnn.training import Learner, NonFiniteError, TrainConfig, choose_device
from trevsnn.training.config import parse_config
from trevsnn.training.objectives import training_loss
from trevsnn.training.recipes import read_recipe

DATASET = "digits"
MODEL = "ms_resnet_digits"
EPOCHS = 8
SEEDS = (0, 1, 2)
"""What is trained where no run is given."""
OUTPUT = Path("runs/gradients")
"""And where to."""


def gradients(
    *runs: Path,
    source: ImageSource,
    images: int,
    seed: int,
    device: Device,
    output: Path | None,
    plot: Path | None,
    json: Path | None,
) -> None:
    """See `trevsnn.cli.commands.gradients`."""
    check_json(json)
    check_file(plot, "plot file")
    if images < 2:
        raise ValueError(f"images={images} must be at least 2")
    check_count("seed", seed, 0)
    if source.workers is not None:
        check_count("workers", source.workers, 0)
    if runs and output is not None:
        raise ValueError(f"output={str(output)!r} is for runs of digits, but a run is given; leave --output out")
    for option, value in (("--data", source.data), ("--val-split", source.val_split)):
        if value is not None and not runs:
            raise ValueError(f"{option} {value} is for a run; without one, digits are used: leave {option} out")
    place = choose_device(device)
    runs = runs or _trained_on_digits(output or OUTPUT, device)
    everything = [load_trained(run, place) for run in runs]
    for trained in everything:
        cuts_of(trained.model)
    studies: list[list[LayerSimilarity]] = []
    used: list[int] = []
    rows: list[Mapping[str, Any]] = []
    left_out: set[str] = set()
    for run, trained in one_by_one(list(zip(runs, everything, strict=True)), "studying"):
        opened = open_images(trained, source)
        study, count = _study(trained, opened, images, seed)
        studies.append(study)
        used.append(count)
        rows += with_data([{"run": str(run)} | vars(s) for s in study], opened.dataset)
        left_out |= {*opened.left_out}
        if [s.layer for s in studies[-1]] != [s.layer for s in studies[0]]:
            raise ValueError(f"run {str(trained.file)!r} is of another network than {str(everything[0].file)!r}")
    write_json(rows, json)
    _show(studies)
    say(*sorted(left_out))
    if plot is not None:
        _plot(studies, used, everything[0].info, plot)


def _plot(studies: Sequence[Sequence[LayerSimilarity]], used: Sequence[int], info: WeightsInfo, plot: Path) -> None:
    from trevsnn.plots.gradients import gradients_figure  # matplotlib is slow to import
    from trevsnn.plots.style import save_png

    layers = [s.layer for s in studies[0]]
    by_cut = {cut: [[s.spatial[cut] for s in study] for study in studies] for cut in studies[0][0].spatial}
    number = " or ".join(f"{count:,}" for count in sorted(set(used)))  # runs may be of different data
    title = f"spatial gradients of {info.model} on {info.dataset}, {len(studies)} run(s), {number} images"
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


def _study(trained: Trained, opened: OpenedImages, images: int, seed: int) -> tuple[list[LayerSimilarity], int]:
    """The study of a network, and how many images could be used."""
    train = opened.dataset.train
    if train is None:
        raise ValueError(
            f"the {opened.dataset.name} data has no images to train on; give --val-split 0.1, or add train/"
        )
    drawn = np.random.default_rng(seed).permutation(len(train))[:images]
    sizes: list[int] = []

    def counted() -> Iterator[Batch]:
        for batch in readable(opened.batches(Subset(train, drawn)), opened.bad):
            sizes.append(len(batch.targets))
            yield batch

    torch.manual_seed(seed_of(seed, LAYERS))
    trained.model.set_intermediate_supervision()
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
    say("; ".join(f"{cut}: cut {CUTS[cut]}" for cut in cuts))


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
