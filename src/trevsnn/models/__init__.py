"""Networks by name, the T-RevSNN family and those to compare with; folding for deployment, conversion, counting."""

from trevsnn.models.base import SpikingNetwork
from trevsnn.models.config import BaseConfig, NetworkConfig
from trevsnn.models.counting import count_macs, parameter_counts
from trevsnn.models.folding import fold
from trevsnn.models.ms_resnet import ReversibleMSResNet, ReversibleMSResNetConfig
from trevsnn.models.network import TRevSNN
from trevsnn.models.official import convert_official, infer_official_config
from trevsnn.models.presets import create_model, list_models, load_weights, option_names
from trevsnn.models.streaming import StreamingClassifier
from trevsnn.models.weights import (
    LoadReport,
    WeightsInfo,
    load_tensors_into,
    read_weights_info,
    save_weights,
    weights_file,
    weights_info,
)

__all__ = [
    "BaseConfig",
    "LoadReport",
    "NetworkConfig",
    "ReversibleMSResNet",
    "ReversibleMSResNetConfig",
    "SpikingNetwork",
    "StreamingClassifier",
    "TRevSNN",
    "WeightsInfo",
    "convert_official",
    "count_macs",
    "create_model",
    "fold",
    "infer_official_config",
    "list_models",
    "load_tensors_into",
    "load_weights",
    "option_names",
    "parameter_counts",
    "read_weights_info",
    "save_weights",
    "weights_file",
    "weights_info",
]
