"""How training images are varied: the options, checked; `trevsnn.data.augmentation` does it."""

from dataclasses import dataclass
from typing import Literal, get_args

from trevsnn._util.checks import is_number, require

Interpolation = Literal["random", "bilinear", "bicubic"]


@dataclass(frozen=True, kw_only=True)
class Variations:
    """How training images are varied; everything but the affine map and the flip is timm's.

    Raises:
        ValueError: for a value out of range; the message names the field.
    """

    augment: bool = True
    """Vary the training images as the options below say; off, they are prepared like test images."""
    crop_scale: tuple[float, float] = (1.0, 1.0)
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
        if self.augment and self.auto_augment:
            from trevsnn.data.policies import check_policy  # timm and PyTorch, which nothing else here needs

            try:
                check_policy(self.auto_augment, self.color_jitter)
            except ValueError as error:
                require(self, "auto_augment", False, f"a policy that timm knows ({error})")
