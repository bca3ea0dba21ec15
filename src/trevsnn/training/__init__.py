"""Training: objective, configuration and recipes, loop, checkpoints and run folders."""

from typing import TYPE_CHECKING

from trevsnn._util.lazy import imported_on_use

if TYPE_CHECKING:
    from trevsnn.training.config import TrainConfig, dump_config, load_config
    from trevsnn.training.errors import NonFiniteError, StoppedError
    from trevsnn.training.evaluation import Evaluation, evaluate, predict
    from trevsnn.training.forecast import Forecast, forecast_run
    from trevsnn.training.learner import Learner
    from trevsnn.training.loop import train
    from trevsnn.training.objectives import intermediate_supervision_loss, temporal_efficient_training_loss
    from trevsnn.training.run_folder import RunFolder
    from trevsnn.training.setup import choose_device

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

__getattr__, __dir__ = imported_on_use(
    __name__,
    config="TrainConfig dump_config load_config",
    errors="NonFiniteError StoppedError",
    evaluation="Evaluation evaluate predict",
    forecast="Forecast forecast_run",
    learner="Learner",
    loop="train",
    objectives="intermediate_supervision_loss temporal_efficient_training_loss",
    run_folder="RunFolder",
    setup="choose_device",
)
