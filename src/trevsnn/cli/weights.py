"""Networks that the commands take: a run folder or a weights file."""

from dataclasses import dataclass
from pathlib import Path

import torch

from trevsnn.data import FramePreprocessing, Preprocessing
from trevsnn.models import WeightsInfo, load_weights
from trevsnn.models.network import TRevSNN
from trevsnn.training import weights_file


@dataclass(frozen=True)
class Trained:
    """A network in eval mode with what belongs to it."""

    file: Path
    model: TRevSNN
    info: WeightsInfo
    preprocessing: Preprocessing | FramePreprocessing


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
    return Trained(file, model, info, kind.from_dict(info.preprocessing))
