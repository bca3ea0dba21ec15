"""Accuracy of a network on a split, and the classes of single images."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from trevsnn.data import BadImages, FramePreprocessing, Preprocessing
from trevsnn.data.loading import TEST_BATCH, Batch
from trevsnn.models import TRevSNN
from trevsnn.training.processes import Processes


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Result on one split."""

    confusion: Tensor
    """(num_classes, num_classes), int64: of the images of each class, how many were taken for which."""
    loss: float
    """Mean cross-entropy (nats)."""

    @property
    def images(self) -> int:
        """Number of images."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Share of images whose class was found, 0 to 1."""
        return int(self.confusion.trace()) / self.images


def evaluate(
    model: TRevSNN, batches: Iterable[Batch], bad: BadImages | None = None, processes: Processes | None = None
) -> Evaluation:
    """Run a network in eval mode over batches, on the device that it is on.

    Args:
        model: the network.
        batches: `evaluation_batches`, this process's share.
        bad: takes note of images that could not be read; by default the first stops.
        processes: those that share the work.

    Raises:
        BadImageError: for an image that cannot be read, unless they are listed.
        ValueError: when none can be read.
    """
    device = next(model.parameters()).device
    model.eval()
    confusion = torch.zeros(model.num_classes, model.num_classes, dtype=torch.long, device=device)
    loss, bad = 0.0, bad or BadImages()
    with torch.inference_mode():
        for pixels, labels, messages in batches:
            bad.report(messages)
            if not len(labels):
                continue
            logits, labels = model(pixels.to(device, non_blocking=True)), labels.to(device, non_blocking=True)
            confusion.index_put_((labels, logits.argmax(1)), torch.ones_like(labels), accumulate=True)
            loss += float(cross_entropy(logits, labels, reduction="sum"))
    processes = processes or Processes()
    processes.add_up(confusion)
    (all_loss,) = processes.sum(loss, device=device)
    if not confusion.any():
        raise ValueError("there is no image to test on that can be read")
    return Evaluation(confusion=confusion.cpu(), loss=all_loss / int(confusion.sum()))


def predict(model: TRevSNN, preprocessing: Preprocessing | FramePreprocessing, samples: Sequence[Any]) -> Tensor:
    """L or RGB pictures of any size, or recordings -> probabilities (N, num_classes), on the CPU."""
    device, transform = next(model.parameters()).device, preprocessing.transform()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(samples), TEST_BATCH):
            inputs = [transform(sample) for sample in samples[start : start + TEST_BATCH]]
            batch = torch.stack(inputs, preprocessing.batch_dim)
            parts.append(model.eval()(batch.to(device)).softmax(1).cpu())
    return torch.cat(parts)
