"""Training: objective, configuration and recipes, loop, checkpoints and run folders."""

from trevsnn.training.config import TrainConfig, dump_config, load_config
from trevsnn.training.evaluation import Evaluation, evaluate, predict
from trevsnn.training.forecast import Forecast, forecast_run
from trevsnn.training.learner import Learner, NonFiniteError, choose_device
from trevsnn.training.loop import train
from trevsnn.training.objectives import intermediate_supervision_loss, temporal_efficient_training_loss
from trevsnn.training.run_folder import RunFolder
from trevsnn.training.stopping import StoppedError

__all__ = [
    "Evaluation",
    "Forecast",
    "Learner",
    "NonFiniteError",
    "RunFolder",
    "StoppedError",
    "TrainConfig",
    "choose_device",
    "dump_config",
    "evaluate",
    "forecast_run",
    "intermediate_supervision_loss",
    "load_config",
    "predict",
    "temporal_efficient_training_loss",
    "train",
]
