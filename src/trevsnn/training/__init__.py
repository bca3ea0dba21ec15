"""Training: objective, configuration, loop, checkpoints and run folders."""

from trevsnn.training.config import TrainConfig, dump_config, load_config
from trevsnn.training.evaluation import Evaluation, evaluate, predict
from trevsnn.training.learner import Learner, NonFiniteError, choose_device
from trevsnn.training.loop import train
from trevsnn.training.objectives import intermediate_supervision_loss
from trevsnn.training.run_folder import RunFolder, load_tensors
from trevsnn.training.weights import WeightsInfo, load_weights, read_weights_info, save_weights, weights_info

__all__ = [
    "Evaluation",
    "Learner",
    "NonFiniteError",
    "RunFolder",
    "TrainConfig",
    "WeightsInfo",
    "choose_device",
    "dump_config",
    "evaluate",
    "intermediate_supervision_loss",
    "load_config",
    "load_tensors",
    "load_weights",
    "predict",
    "read_weights_info",
    "save_weights",
    "train",
    "weights_info",
]
