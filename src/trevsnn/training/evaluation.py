"""Accuracy of a network on a split, and the classes of single images."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from trevsnn.data import ImageDataset, Split

BATCH_SIZE = 256  # fixed, so that training and `trevsnn eval` add up the same numbers


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Result on one split."""

    images: int
    """Number of images."""
    correct: int
    """Number of images whose class was found."""
    loss: float
    """Mean cross-entropy (nats)."""

    @property
    def accuracy(self) -> float:
        """Share of images whose class was found, 0 to 1."""
        return self.correct / self.images


def evaluate(model: nn.Module, dataset: ImageDataset, split: Split) -> Evaluation:
    """Run a network in eval mode over a split, on the device that it is on."""
    device = next(model.parameters()).device
    model.eval()
    correct, loss = 0, 0.0
    with torch.inference_mode():
        for pixels, labels in zip(split.pixels.split(BATCH_SIZE), split.labels.split(BATCH_SIZE), strict=True):
            logits = model(dataset.prepare(pixels).to(device))
            labels = labels.to(device)
            correct += int((logits.argmax(1) == labels).sum())
            loss += float(cross_entropy(logits, labels, reduction="sum"))
    return Evaluation(images=len(split), correct=correct, loss=loss / len(split))


def predict(model: nn.Module, dataset: ImageDataset, pixels: Tensor) -> Tensor:
    """(N, C, h, w) uint8 -> probabilities (N, num_classes), on the CPU."""
    device = next(model.parameters()).device
    with torch.inference_mode():
        return model.eval()(dataset.prepare(pixels).to(device)).softmax(1).cpu()
