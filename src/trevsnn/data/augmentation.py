"""From a picture to the input of a network, as for training: chance decides some of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import torch
from cyclopts import Parameter
from PIL import Image
from timm.data import Mixup, create_transform
from timm.data.auto_augment import AugmentOp, posterize
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

from trevsnn._util.checks import is_number, require
from trevsnn._util.suggest import in_a_line
from trevsnn.data.events.preprocessing import FramePreprocessing
from trevsnn.data.preprocessing import Preprocessing
from trevsnn.data.seeding import random_state

Interpolation = Literal["random", "bilinear", "bicubic"]


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How training images are varied; everything but the affine map and the flip is timm's.

    Raises:
        ValueError: for a value out of range; the message names the field.
    """

    augment: bool = True
    """Vary the training images as the options below say; off, they are prepared like test images."""
    crop_scale: Annotated[tuple[float, float], Parameter(consume_multiple=True)] = (1.0, 1.0)
    """Smallest and largest share of the area that a random crop keeps, resized to the input; 1 1 for no crop."""
    train_interpolation: Interpolation = "random"
    """Of resizing random crops; random picks one of the two others."""
    hflip: float = 0.0
    """Probability of mirroring left and right (0 to 1)."""
    rotation: float = 0.0
    """Largest rotation (degrees)."""
    shift: float = 0.0
    """Largest shift, as a share of the side (0 to 1); what enters is black."""
    roll: float = 0.0
    """As shift, but what leaves at one side comes in at the other."""
    zoom: float = 0.0
    """Largest relative change of size (0 to less than 1)."""
    shear: float = 0.0
    """Largest shear along the rows (degrees)."""
    auto_augment: str = ""
    """timm's policy, rand-m9-mstd0.5-inc1 for example; empty for none."""
    color_jitter: float = 0.0
    """Largest relative change of brightness, contrast and saturation; timm leaves it out where auto_augment is set."""
    random_erasing: float = 0.0
    """Probability of erasing a rectangle (0 to 1): of pictures to noise, of recordings to nothing."""
    mixup: float = 0.0
    """Alpha of mixup: pairs of images are blended; 0 for none."""
    cutmix: float = 0.0
    """Alpha of CutMix: a rectangle comes from another image; 0 for none. With mixup, one of the two per batch."""

    def __post_init__(self) -> None:
        if isinstance(self.crop_scale, list):
            object.__setattr__(self, "crop_scale", tuple(self.crop_scale))
        require(self, "augment", isinstance(self.augment, bool), "true or false")
        scale = self.crop_scale
        right = isinstance(scale, tuple) and len(scale) == 2 and all(map(is_number, scale)) and 0 < scale[0] <= scale[1]
        require(self, "crop_scale", right and scale[1] <= 1, "two shares from more than 0 to 1, the smaller first")
        require(self, "train_interpolation", self.train_interpolation in get_args(Interpolation),
                "one of " + ", ".join(get_args(Interpolation)))  # fmt: skip
        for name in ("hflip", "shift", "roll", "random_erasing"):
            require(self, name, is_number(getattr(self, name)) and 0 <= getattr(self, name) <= 1, "from 0 to 1")
        require(self, "rotation", is_number(self.rotation) and 0 <= self.rotation <= 180, "from 0 to 180 degrees")
        require(self, "shear", is_number(self.shear) and 0 <= self.shear < 90, "from 0 to less than 90 degrees")
        require(self, "zoom", is_number(self.zoom) and 0 <= self.zoom < 1, "from 0 to less than 1")
        for name in ("color_jitter", "mixup", "cutmix"):
            require(self, name, is_number(getattr(self, name)) and getattr(self, name) >= 0, "a finite number from 0")
        require(self, "auto_augment", isinstance(self.auto_augment, str), "the name of a policy, or empty")
        try:
            transform = self.transform(Preprocessing(input_size=(3, 32, 32)))
            if self.auto_augment:
                with random_state(0):
                    transform(Image.new("RGB", (32, 32)))  # some policies fail only when they are applied
        except (AssertionError, ValueError, KeyError, IndexError, NotImplementedError) as error:
            require(self, "auto_augment", False, f"a policy that timm knows ({in_a_line(error)})")

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
        crop, color, final = create_transform(
            input_size=preprocessing.input_size,
            is_training=True,
            separate=True,
            scale=self.crop_scale,
            hflip=0.0,
            interpolation=self.train_interpolation,
            auto_augment=self.auto_augment or None,
            color_jitter=self.color_jitter,
            re_prob=self.random_erasing,
            re_mode="pixel",
            mean=preprocessing.mean,
            std=preprocessing.std,
        )  # type: ignore[misc]
        for operation in _operations(color):
            if operation.aug_fn is posterize:
                operation.aug_fn = _posterize
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


def _operations(transform: Any) -> Iterator[AugmentOp]:
    """Those of a policy of timm's."""
    if isinstance(transform, AugmentOp):
        yield transform
        return
    held = next((vars(transform)[name] for name in ("transforms", "ops", "policy") if hasattr(transform, name)), ())
    for part in transform if isinstance(transform, list) else held:
        yield from _operations(part)


def _posterize(picture: Image.Image, bits: int, **_: Any) -> Image.Image:
    """timm's; at its strongest it keeps no bit, which Pillow refuses from version 13 on."""
    return posterize(picture, bits) if bits >= 1 else Image.new(picture.mode, picture.size)


@dataclass(frozen=True)
class RandomRoll:
    """Shift (..., H, W) by up to a share of its sides, around their ends."""

    share: float

    def __call__(self, images: Tensor) -> Tensor:
        sides = torch.tensor(images.shape[-2:])
        distances = ((2 * torch.rand(2) - 1) * self.share * sides).round().int().tolist()
        return images.roll(distances, dims=(-2, -1))
