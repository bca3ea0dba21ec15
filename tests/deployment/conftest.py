import onnxruntime
import pytest
import torch
from helpers import excite

from trevsnn import create_model
from trevsnn.deployment import plan_network
from trevsnn.models.network import TRevSNN

SIZE = (32, 32)


@pytest.fixture(scope="session")
def build():
    """Builds a small excited network in eval mode, for images or for clips."""

    def build(name="trevsnn_tiny", **options) -> TRevSNN:
        torch.manual_seed(0)
        small = {"channels": (8, 8, 12, 12), "num_classes": 5, "kernel_size": 3}
        return excite(create_model(name, **{**small, **options})).eval()

    return build


@pytest.fixture(scope="session")
def inputs():
    """Random inputs of a network."""

    def inputs(model: TRevSNN, batch=3, size=SIZE):
        return torch.randn(model.config.input_shape(batch, *size), generator=torch.Generator().manual_seed(1))

    return inputs


@pytest.fixture(scope="session")
def planned():
    """The plan of a network."""
    return lambda model, size=SIZE: plan_network(model.fold(), *size)


@pytest.fixture(scope="session")
def session():
    """An ONNX file, or its bytes, in ONNX Runtime."""

    def session(file, optimised=None):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        if optimised is not None:
            options.optimized_model_filepath = str(optimised)
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    return session
