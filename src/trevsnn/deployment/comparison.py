"""A file in ONNX Runtime against the network that it was made from."""

from collections.abc import Iterable
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import torch
from torch import Tensor

from trevsnn.data import BadImages
from trevsnn.data.loading import Batch, readable
from trevsnn.deployment.export import require_package
from trevsnn.deployment.operations import INPUT
from trevsnn.models.network import TRevSNN
from trevsnn.training import Evaluation
from trevsnn.training.evaluation import Tally


class Compared(NamedTuple):
    """What one of the two came to."""

    evaluation: Evaluation
    seconds: float
    """Time for all images, reading them aside."""


def compare(
    model: TRevSNN, file: str | Path, batches: Iterable[Batch], bad: BadImages | None = None
) -> tuple[Compared, Compared]:
    """Results of a network and of an ONNX file on the same images, in turn, on the CPU.

    Args:
        model: the network.
        file: from `export_onnx`.
        batches: `evaluation_batches`.
        bad: takes note of images that could not be read; by default the first stops.

    Raises:
        BadImageError: for an image that cannot be read, unless they are listed.
        ValueError: when none can be read, or without the package onnxruntime.
    """
    require_package("onnxruntime", "onnx")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def run_file(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {INPUT: images.numpy()})[0])

    networks = model.eval(), run_file
    tallies = [Tally(model.num_classes) for _ in networks]
    seconds = [0.0, 0.0]
    bad = bad or BadImages()
    warm = False
    with torch.inference_mode():
        for pixels, labels, _ in readable(batches, bad):
            for i, network in enumerate(networks):
                if not warm:  # the first time takes longer
                    network(pixels)
                started = perf_counter()
                logits = network(pixels)
                seconds[i] += perf_counter() - started
                tallies[i].add(logits, labels)
            warm = True
    first, second = (Compared(tally.result(), spent) for tally, spent in zip(tallies, seconds, strict=True))
    return first, second
