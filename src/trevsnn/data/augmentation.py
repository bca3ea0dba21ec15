"""From a picture to the input of a network, as for training: chance decides some of it."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from timm.data import Mixup
from torch import Tensor
from torch.nn.functional import one_hot
from torchvision.transforms import (
    Compose,
    InterpolationMode,
    RandomAffine,
    RandomChoice,
    RandomErasing,
    RandomHorizontalFlip,
)

from trevsnn._util.checks import require
from trevsnn.data.events.preprocessing import FramePreprocessing
from trevsnn.data.policies import timm_transforms
from trevsnn.data.preprocessing import Preprocessing
from trevsnn.data.variations import Variations


class Augmentation(Variations):
    """Varies training images as its options say; everything but the affine map and the flip is timm's.

    Raises:
        ValueError: for a value out of range; the message names the field.
    """

    @classmethod
    def of(cls, options: Variations) -> Self:
        """That of the options."""
        return cls(**{field.name: getattr(options, field.name) for field in fields(Variations)})

    def transform(self, preprocessing: Preprocessing | FramePreprocessing) -> Callable[[Any], Tensor]:
        """From an L or RGB picture to a (C, H, W) float tensor, or from a recording to frames (T, 2, H, W), all of them
        varied alike; chance comes from the generators of `random_state`.

        Raises:
            ValueError: for options that are for pictures only, with recordings.
        """
        if not self.augment:
            return preprocessing.transform()
        if isinstance(preprocessing, FramePreprocessing):
            return self._transform_of_frames(preprocessing)
        crop, color, final = timm_transforms(
            preprocessing.input_size,
            scale=self.crop_scale,
            interpolation=self.train_interpolation,
            auto_augment=self.auto_augment or None,
            color_jitter=self.color_jitter,
            re_prob=self.random_erasing,
            re_mode="pixel",
            mean=preprocessing.mean,
            std=preprocessing.std,
        )
        steps = [crop] if self.crop_scale != (1.0, 1.0) else preprocessing.geometry()
        if self.hflip:
            steps.append(RandomHorizontalFlip(self.hflip))
        if self.rotation or self.shift or self.zoom or self.shear:
            steps.append(self._affine(rotation=self.rotation, shift=self.shift, zoom=self.zoom, shear=self.shear))
        rolled = [RandomRoll(self.roll)] if self.roll else []
        return Compose([*steps, color, final, *rolled])

    def _transform_of_frames(self, preprocessing: FramePreprocessing) -> Callable[[Any], Tensor]:
        """One of the variations at a time, after the flip.

        Source: Li et al., Neuromorphic Data Augmentation for Training Spiking Neural Networks, ECCV 2022.
        """
        for name, none in (
            ("crop_scale", (1.0, 1.0)),
            ("auto_augment", ""),
            ("color_jitter", 0),
            ("mixup", 0),
            ("cutmix", 0),
        ):
            require(self, name, getattr(self, name) == none, "left out for recordings: it is for pictures")
        ways: list[Callable[[Tensor], Tensor]] = [
            self._affine(**{name: getattr(self, name)})
            for name in ("rotation", "shift", "zoom", "shear")
            if getattr(self, name)
        ]
        if self.roll:
            ways.append(RandomRoll(self.roll))
        if self.random_erasing:
            ways.append(RandomErasing(self.random_erasing, value=0))
        steps: list[Callable[[Any], Tensor]] = [preprocessing.transform(), RandomHorizontalFlip(self.hflip)]
        return Compose([*steps, RandomChoice(ways)] if ways else steps)

    @staticmethod
    def _affine(rotation: float = 0.0, shift: float = 0.0, zoom: float = 0.0, shear: float = 0.0) -> RandomAffine:
        bilinear = InterpolationMode.BILINEAR
        return RandomAffine(rotation, (shift, shift), (1 - zoom, 1 + zoom), shear or None, interpolation=bilinear)

    def mix(self, images: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
        """Mixup or CutMix within a batch; chance comes from those generators too.

        Args:
            images: (N, C, H, W); an odd N leaves the last image as it is.
            labels: (N,), class indices.

        Returns:
            The images, and labels: as they were where nothing is mixed, else (N, num_classes) shares.
        """
        if not (self.augment and (self.mixup or self.cutmix)):
            return images, labels
        even = len(labels) // 2 * 2
        targets = one_hot(labels, num_classes).to(images.dtype)
        if even:
            mixup = Mixup(self.mixup, self.cutmix, label_smoothing=0.0, num_classes=num_classes)
            images[:even], targets[:even] = mixup(images[:even], labels[:even])
        return images, targets


@dataclass(frozen=True)
class RandomRoll:
    """Shift (..., H, W) by up to a share of its sides, around their ends."""

    share: float

    def __call__(self, images: Tensor) -> Tensor:
        sides = torch.tensor(images.shape[-2:])
        distances = ((2 * torch.rand(2) - 1) * self.share * sides).round().int().tolist()
        return images.roll(distances, dims=(-2, -1))
