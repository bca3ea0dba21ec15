"""What a data set of images held in memory is to training, evaluation and prediction."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import interpolate


@dataclass(frozen=True, kw_only=True)
class Split:
    """Images and labels that belong together."""

    pixels: Tensor
    """(N, C, h, w), uint8 grey or colour values as they are in the source, 0 to 255."""
    labels: Tensor
    """(N,), int64 class indices."""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, kw_only=True)
class ImageDataset:
    """A fixed training and test split, and how its pixels become the input of a network."""

    name: str
    class_names: tuple[str, ...]
    native_size: tuple[int, int]
    """Height and width of the source images (pixels); pictures for prediction are reduced to it first."""
    input_size: tuple[int, int, int]
    """(C, H, W) of what the network receives."""
    model: str
    """Name of the network trained on it by default."""
    train: Split
    test: Split

    def prepare(self, pixels: Tensor) -> Tensor:
        """(N, C, h, w) uint8, 0 to 255 -> (N, C, H, W) float, -1 to 1, enlarged bilinearly to the input size."""
        size = self.input_size[1:]
        return interpolate(pixels.float() / 127.5 - 1, size=size, mode="bilinear", align_corners=False)
