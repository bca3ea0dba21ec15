"""timm's transforms for training, with its policies mended."""

from collections.abc import Callable, Iterator
from typing import Any

from PIL import Image
from timm.data import create_transform
from timm.data.auto_augment import AugmentOp, posterize

from trevsnn._util.suggest import in_a_line
from trevsnn.data.seeding import random_state

Transform = Callable[[Any], Any]


def timm_transforms(input_size: tuple[int, int, int], **options: Any) -> tuple[Transform, Transform, Transform]:
    """Crop, change of colours, and the end, which makes a normalised tensor; `options` are those of timm's
    `create_transform`.

    Raises:
        AssertionError, ValueError, KeyError, IndexError, NotImplementedError: for a policy that timm does not know.
    """
    crop, colours, end = create_transform(input_size, is_training=True, separate=True, hflip=0.0, **options)  # type: ignore[misc]
    for operation in _operations(colours):
        if operation.aug_fn is posterize:
            operation.aug_fn = _posterize
    return crop, colours, end


def check_policy(policy: str, color_jitter: float = 0.0) -> None:
    """Try a policy on a picture: some fail only when they are applied.

    Raises:
        ValueError: when timm does not know it.
    """
    try:
        _, colours, _ = timm_transforms((3, 32, 32), auto_augment=policy, color_jitter=color_jitter)
        with random_state(0):
            colours(Image.new("RGB", (32, 32)))
    except (AssertionError, ValueError, KeyError, IndexError, NotImplementedError) as error:
        raise ValueError(in_a_line(error)) from error


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
