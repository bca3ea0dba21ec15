"""Image files for prediction."""

import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

BLACK, WHITE = 0, 255


def read_image(path: str | Path, channels: int, size: tuple[int, int], invert: bool = False) -> Tensor:
    """An image file as (channels, height, width) uint8, 0 to 255.

    Any mode and size: the EXIF orientation is applied, what is transparent becomes background, the picture is
    padded to the proportions of `size` with background and reduced by averaging. The background is black.

    Args:
        path: the file.
        channels: 1 for grey, 3 for colour.
        size: height and width (pixels).
        invert: for dark ink on white paper: swap dark and light; the background of the file is then white.

    Raises:
        ValueError: when the file does not exist or is not an image that can be read.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"image {str(path)!r} does not exist" if not path.exists() else f"{str(path)!r} is no file")
    try:
        with warnings.catch_warnings(), Image.open(path) as file:
            warnings.simplefilter("ignore")
            picture = _flatten(ImageOps.exif_transpose(file), WHITE if invert else BLACK)
    except Exception as error:  # the decoders of damaged files can fail in any way
        raise ValueError(f"{str(path)!r} is not an image that can be read: {error}") from error
    picture = picture.convert("L" if channels == 1 else "RGB")
    if invert:
        picture = ImageOps.invert(picture)
    height, width = size
    picture = ImageOps.pad(picture, (width, height), method=Image.Resampling.BOX, color=BLACK)
    return torch.from_numpy(np.array(picture)).reshape(*size, channels).permute(2, 0, 1)


def _flatten(picture: Image.Image, background: int) -> Image.Image:
    """Grey or RGB of 8 bits, transparency laid on the background."""
    if picture.mode.startswith(("I", "F")):  # 16 or 32 bits: convert() would clip at 255
        values = np.asarray(picture).astype(np.float64)
        if not np.isfinite(values).all():
            raise ValueError("it has pixels that are no numbers")
        brightest = 65535 if picture.mode.startswith("I;16") else max(values.max(), 1)
        return Image.fromarray((values / brightest * 255).clip(0, 255).round().astype(np.uint8))
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, (background,) * 3 + (255,)), layer).convert("RGB")
    return picture if picture.mode == "L" else picture.convert("RGB")
