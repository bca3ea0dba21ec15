"""Networks that the commands take: a run folder or a weights file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from trevsnn._util.suggest import shortened
from trevsnn.cli.found_data import show_data
from trevsnn.cli.image_source import ImageSource
from trevsnn.data import (
    BadImages,
    FramePreprocessing,
    LabelledData,
    Preprocessing,
    Samples,
    default_workers,
    evaluation_batches,
    load_dataset,
)
from trevsnn.data.events.folder import RECORDING_FOLDER
from trevsnn.data.loading import Batch
from trevsnn.models import SpikingNetwork, WeightsInfo, load_weights, weights_file
from trevsnn.training import RunFolder, TrainConfig
from trevsnn.training.event_frames import with_frames


@dataclass(frozen=True)
class Trained:
    """A network in eval mode with what belongs to it."""

    file: Path
    model: SpikingNetwork
    info: WeightsInfo
    preprocessing: Preprocessing | FramePreprocessing

    @property
    def input(self) -> str:
        """The size of its input, in a line."""
        return f"input {' x '.join(map(str, self.preprocessing.input_size))}, as the weights were trained"

    @property
    def config(self) -> TrainConfig:
        """The settings of its run; the defaults where the file is in none."""
        folder = RunFolder(self.file.parent)
        return TrainConfig(**folder.read_config(unknown_ok=True)[1]) if folder.holds_run() else TrainConfig()


@dataclass(frozen=True)
class OpenedImages:
    """A data set, to be shown to a network."""

    dataset: LabelledData
    preprocessing: Preprocessing | FramePreprocessing
    workers: int
    """Processes that read images."""
    bad: BadImages

    def batches(self, samples: Samples) -> Iterator[Batch]:
        """Some of its images, as the network takes them."""
        return evaluation_batches(samples, self.preprocessing, workers=self.workers)

    @property
    def left_out(self) -> list[str]:
        """A line for every image that could not be read."""
        return [f"left out: {message}" for message in sorted(self.bad.known)]


def open_images(trained: Trained, source: ImageSource, dataset: LabelledData | None = None) -> OpenedImages:
    """The images of a data set, by default of the one that the network was trained on.

    Raises:
        ValueError: as `load_data`.
    """
    dataset = dataset or load_data(trained, source.data, source.val_split)
    workers = default_workers(dataset.in_memory) if source.workers is None else source.workers
    return OpenedImages(dataset, trained.preprocessing, workers, BadImages(source.skip_bad_images))


def load_trained(path: Path, device: torch.device) -> Trained:
    """The network of a weights file, or of a run after its last epoch.

    Raises:
        ValueError: when there is none, or it does not say what its input is made by.
    """
    file = weights_file(path)
    model, info = load_weights(file, device)
    if info.preprocessing is None:
        raise ValueError(f"{str(file)!r} does not say how its input is made; give a run of `trevsnn train`")
    kind = FramePreprocessing if model.config.frames else Preprocessing
    try:
        return Trained(file, model, info, kind.from_dict(info.preprocessing))
    except ValueError as error:
        raise ValueError(f"{str(file)!r}: {error}") from error


def load_data(trained: Trained, data: Path | None, val_split: float | None) -> LabelledData:
    """The data set that a network was trained on; prints what was found and what was left out.

    Args:
        trained: the network.
        data: the folder that holds it; None for where the run found it.
        val_split: share of the images to test on, 1 for all; None for the run's.

    Raises:
        ValueError: when the weights do not name it, it is not there, or it has other classes now.
    """
    if trained.info.dataset is None:
        raise ValueError(
            f"{str(trained.file)!r} does not say which dataset it was trained on; give a run of `trevsnn train`"
        )
    config = trained.config
    if data is not None and val_split is None and config.val_split is not None:
        raise ValueError(
            f"the run was tested on a share of its images; give --val-split {config.val_split} for the same share of "
            f"{str(data)!r}, or 1 for all"
        )
    val_split = config.val_split if val_split is None else val_split
    config = replace(config, data=data or config.data)
    if config.data is not None and data is None and not config.data.exists():
        raise ValueError(f"data {str(config.data)!r}, where the run found them, are not there; give --data DIR")
    name = trained.info.dataset
    preprocessing = trained.preprocessing
    share = None if val_split == 1 else val_split
    sensor = None
    if name == RECORDING_FOLDER and isinstance(preprocessing, FramePreprocessing):
        sensor = preprocessing.sensor_size
    dataset = load_dataset(name, config.data, share, sensor)
    show_data(dataset)
    known = trained.info.class_names
    if known not in (None, dataset.class_names):
        raise ValueError(
            f"{dataset.name} data has other classes than {str(trained.file)!r} was trained on: "
            f"{_listed(dataset.class_names)} in place of {_listed(known)}; give the data that it was trained on"
        )
    return with_frames(dataset, preprocessing, config)


def _listed(names: Sequence[str]) -> str:
    return f"{len(names)} ({shortened(names)})"
