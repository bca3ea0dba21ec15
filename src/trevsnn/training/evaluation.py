"""Accuracy of a network on a split, and the classes of single images."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from trevsnn.data import BadImages, Preprocessing
from trevsnn.data.loading import TEST_BATCH, Batch
from trevsnn.training.processes import Processes


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


def evaluate(
    model: nn.Module, batches: Iterable[Batch], bad: BadImages | None = None, processes: Processes | None = None
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
    images, correct, loss, bad = 0, 0, 0.0, bad or BadImages()
    with torch.inference_mode():
        for pixels, labels, messages in batches:
            bad.report(messages)
            if not len(labels):
                continue
            logits, labels = model(pixels.to(device, non_blocking=True)), labels.to(device, non_blocking=True)
            images += len(labels)
            correct += int((logits.argmax(1) == labels).sum())
            loss += float(cross_entropy(logits, labels, reduction="sum"))
    all_images, all_correct, all_loss = (processes or Processes()).sum(images, correct, loss, device=device)
    if not all_images:
        raise ValueError("there is no image to test on that can be read")
    return Evaluation(images=int(all_images), correct=int(all_correct), loss=all_loss / all_images)


def predict(model: nn.Module, preprocessing: Preprocessing, pictures: Sequence[Image.Image]) -> Tensor:
    """L or RGB pictures of any size -> probabilities (N, num_classes), on the CPU."""
    device, transform = next(model.parameters()).device, preprocessing.transform()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(pictures), TEST_BATCH):
            images = torch.stack([transform(picture) for picture in pictures[start : start + TEST_BATCH]])
            parts.append(model.eval()(images.to(device)).softmax(1).cpu())
    return torch.cat(parts)
