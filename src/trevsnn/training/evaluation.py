"""Accuracy of a network on a split, and the classes of single images."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from trevsnn.data import BadImages, FramePreprocessing, Preprocessing
from trevsnn.data.loading import TEST_BATCH, Batch, readable
from trevsnn.models import SpikingNetwork
from trevsnn.training.processes import Processes


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Result on one split."""

    confusion: Tensor
    """(num_classes, num_classes), int64: of the images of each class, how many were taken for which."""
    loss: float
    """Mean cross-entropy (nats)."""

    def __post_init__(self) -> None:
        if not self.confusion.any():
            raise ValueError("there is no image to test on that can be read")

    @property
    def images(self) -> int:
        """Number of images."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Share of images whose class was found, 0 to 1."""
        return int(self.confusion.trace()) / self.images


class Tally:
    """Adds up what was found, batch by batch.

    Args:
        num_classes: of the network.
        device: where its logits are.
    """

    def __init__(self, num_classes: int, device: torch.device | str = "cpu"):
        self.confusion = torch.zeros(num_classes, num_classes, dtype=torch.long, device=device)
        self.loss = 0.0

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """A batch: (N, num_classes) and (N,)."""
        self.confusion.index_put_((labels, logits.argmax(1)), torch.ones_like(labels), accumulate=True)
        self.loss += float(cross_entropy(logits, labels, reduction="sum"))

    def result(self, processes: Processes | None = None) -> Evaluation:
        """Of all batches, of all processes.

        Raises:
            ValueError: when there were none.
        """
        processes, confusion = processes or Processes(), self.confusion.clone()
        processes.add_up(confusion)
        (loss,) = processes.sum(self.loss, device=confusion.device)
        return Evaluation(confusion=confusion.cpu(), loss=loss / max(1, int(confusion.sum())))


def evaluate(
    model: SpikingNetwork, batches: Iterable[Batch], bad: BadImages | None = None, processes: Processes | None = None
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
    tally, bad = Tally(model.num_classes, device), bad or BadImages()
    with torch.inference_mode():
        for pixels, labels, _ in readable(batches, bad):
            tally.add(model(pixels.to(device, non_blocking=True)), labels.to(device, non_blocking=True))
    return tally.result(processes)


def predict(model: SpikingNetwork, preprocessing: Preprocessing | FramePreprocessing, samples: Sequence[Any]) -> Tensor:
    """L or RGB pictures of any size, or recordings -> probabilities (N, num_classes), on the CPU.

    Raises:
        ValueError: for none.
    """
    if not samples:
        raise ValueError("there is no sample to predict; give at least one")
    device, transform = next(model.parameters()).device, preprocessing.transform()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(samples), TEST_BATCH):
            inputs = [transform(sample) for sample in samples[start : start + TEST_BATCH]]
            batch = torch.stack(inputs, preprocessing.batch_dim)
            parts.append(model.eval()(batch.to(device)).softmax(1).cpu())
    return torch.cat(parts)
