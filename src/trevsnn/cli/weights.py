"""Networks that the commands take: a run folder or a weights file."""

from pathlib import Path

import torch

from trevsnn.data import ImageDataset, load_dataset
from trevsnn.models.network import TRevSNN
from trevsnn.training import RunFolder, WeightsInfo, load_weights


def load_run(path: Path, device: torch.device) -> tuple[TRevSNN, WeightsInfo, ImageDataset]:
    """The network of a run in eval mode, its description and its data set.

    Raises:
        ValueError: when there is none, or it belongs to no data set.
    """
    if not path.exists():
        raise ValueError(f"run folder {str(path)!r} does not exist")
    file = path
    if path.is_dir():
        file = RunFolder(path).weights
        if not file.is_file():
            raise ValueError(f"{str(path)!r} is not a run folder: it has no {file.name}")
    model, info = load_weights(file, device)
    if info.dataset is None:
        raise ValueError(f"{str(file)!r} does not say which dataset it was trained on; give a run of `trevsnn train`")
    return model, info, load_dataset(info.dataset)
