import onnxruntime
import pytest
import torch
from helpers import small_network

from trevsnn.deployment import plan_network
from trevsnn.models.network import TRevSNN

SIZE = (32, 32)


@pytest.fixture(scope="session")
def build():
    """Builds a small network in eval mode, for images or for clips."""
    return lambda *name, **options: small_network(*name, **options).eval()


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
