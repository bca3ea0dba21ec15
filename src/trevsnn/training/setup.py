"""What a configuration and a data set come to: device, images per step, the input's preparation; checked before a run
begins."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from trevsnn.data import FramePreprocessing, LabelledData, Preprocessing
from trevsnn.models import SpikingNetwork, WeightsInfo, read_weights_info, weights_file
from trevsnn.training.config import TrainConfig
from trevsnn.training.processes import Processes


def choose_device(name: str) -> torch.device:
    """ "auto", "cpu" or "cuda" -> a device; auto is CUDA where there is a GPU.

    Raises:
        ValueError: for "cuda" without a GPU, or another name.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device={name!r} must be one of auto, cpu, cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device='cuda' is not available: PyTorch sees no GPU; use cpu or auto")
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")


def check_batch(model: SpikingNetwork, batch_size: int, size: tuple[int, int]) -> None:
    """Run the shapes of a training step on inputs of this height and width, without its numbers.

    Raises:
        ValueError: when the images are too small for the network, or the batch for BatchNorm.
    """
    shapes = copy.deepcopy(model).to("meta").train()
    try:
        with torch.no_grad():
            shapes(torch.empty(model.config.input_shape(batch_size, *size), device="meta"))
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            f"batch_size={batch_size} leaves BatchNorm a single value per channel; use 2 or more"
        ) from error


def usable_weights(path: Path) -> WeightsInfo:
    info = read_weights_info(weights_file(path))
    if info.folded:
        raise ValueError(f"weights {str(path)!r} are folded, for deployment; give those of the run itself")
    if info.preprocessing is not None:
        kind = FramePreprocessing if "sensor_size" in info.preprocessing else Preprocessing
        try:
            kind.from_dict(info.preprocessing)
        except ValueError as error:
            raise ValueError(f"weights {str(path)!r}: {error}") from error
    return info


def decided_by_default(config: TrainConfig, dataset: LabelledData) -> dict[str, str]:
    decided = {}
    if config.model is None:
        decided["model"] = "the data set's default"
    if config.image_size is None:
        decided["image_size"] = "the network's own" if dataset.preprocessing is None else "the data set's own"
    return decided


def step_sizes(config: TrainConfig, dataset: LabelledData, processes: Processes) -> tuple[int, int]:
    """Images per optimiser step, and batches of each process per step."""
    together = config.batch_size * processes.world
    effective = together if config.effective_batch is None else config.effective_batch
    if effective % together:
        raise ValueError(
            f"effective_batch={effective} must be a multiple of batch_size={config.batch_size}, times the number of "
            f"processes, {processes.world}; change --effective-batch or --batch-size"
        )
    if dataset.train is None:
        raise ValueError(
            f"the {dataset.name} data has no images to train on; give --val-split 0.1, or add train/ and val/"
        )
    if effective > len(dataset.train):
        name, option = (
            ("effective_batch", "--effective-batch") if config.effective_batch else ("batch_size", "--batch-size")
        )
        raise ValueError(f"{name}={effective} is more than the {len(dataset.train)} training images; lower {option}")
    return effective, effective // together


def left_over_images(config: TrainConfig, images: int, effective: int, world: int) -> str:
    left = images % effective
    if not left:
        return ""
    unit, option = (
        (world, "--batch-size") if config.effective_batch is None else (config.batch_size * world, "--effective-batch")
    )
    sizes = range(effective // unit, effective // unit // 2, -1)
    best = min(sizes, key=lambda size: images % (size * unit), default=effective // unit)
    fewer = images % (best * unit)
    value = best if config.effective_batch is None else best * unit
    remedy = f"; {option} {value} leaves out {fewer or 'none'}" if fewer < left else ""
    return (
        f"every epoch leaves out {left:,} of {images:,}, others each time, which fill no step of {effective:,}{remedy}"
    )


def preprocessing_for(
    model: SpikingNetwork, dataset: LabelledData, config: TrainConfig
) -> Preprocessing | FramePreprocessing:
    """The data set's own preprocessing, else the network's default, at the size wanted.

    Raises:
        ValueError: when the network is not for such data.
    """
    found = dataset.preprocessing or _default_preprocessing(model)
    if isinstance(found, FramePreprocessing) != model.config.frames:
        kind = "clips of frames" if model.config.frames else "images"
        raise ValueError(
            f"the network is for {kind}, and {dataset.name} data are not: choose {dataset.model!r} as --model"
        )
    if isinstance(found, FramePreprocessing):
        names = "split_by", "sort_events", "camera", "time_unit"
        found = replace(found, timesteps=model.config.timesteps, **{name: getattr(config, name) for name in names})
    size = config.image_size
    return found if size is None else replace(found, input_size=(found.input_size[0], size, size))


def _default_preprocessing(model: SpikingNetwork) -> Preprocessing:
    default: dict[str, Any] = model.default_cfg  # type: ignore[assignment]
    colours = (default["mean"], default["std"]) if len(default["mean"]) == 3 else ((0.5,) * 3, (0.5,) * 3)
    return Preprocessing(
        input_size=(3, *default["input_size"][1:]),
        crop_pct=default["crop_pct"],
        interpolation=default["interpolation"],
        mean=colours[0],
        std=colours[1],
    )
