"""A file in ONNX Runtime against the network that it was made from."""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from trevsnn.data import BadImages
from trevsnn.data.loading import Batch
from trevsnn.deployment.export import require_package
from trevsnn.deployment.plan import INPUT
from trevsnn.models.network import TRevSNN
from trevsnn.training import Evaluation


def compare(
    model: TRevSNN, file: str | Path, batches: Iterable[Batch], bad: BadImages | None = None
) -> tuple[Evaluation, Evaluation]:
    """Results of a network and of an ONNX file on the same images, on the CPU.

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
    images, correct, loss, bad = 0, [0, 0], [0.0, 0.0], bad or BadImages()
    with torch.inference_mode():
        for pixels, labels, messages in batches:
            bad.report(messages)
            if not len(labels):
                continue
            images += len(labels)
            for i, network in enumerate(networks):
                logits = network(pixels)
                correct[i] += int((logits.argmax(1) == labels).sum())
                loss[i] += float(cross_entropy(logits, labels, reduction="sum"))
    if not images:
        raise ValueError("there is no image to test on that can be read")
    first, second = (
        Evaluation(images=images, correct=c, loss=total / images) for c, total in zip(correct, loss, strict=True)
    )
    return first, second
