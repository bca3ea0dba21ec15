"""Image files of any mode as grey or colour pictures of 8 bits."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

BLACK, WHITE = 0, 255
EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff", ".webp")


class BadImageError(ValueError):
    """An image that cannot be read; the message names it."""


def open_picture(
    source: str | Path | bytes, channels: int, name: str | None = None, invert: bool = False
) -> Image.Image:
    """An image file as a picture of mode L (1 channel) or RGB (3 channels).

    Any mode and size: the EXIF orientation is applied, what is transparent becomes background, which is black.

    Args:
        source: path of the file, or its content.
        channels: 1 for grey, 3 for colour.
        name: what to call it in messages; its path by default.
        invert: for dark ink on white paper: swap dark and light; the background of the file is then white.

    Raises:
        BadImageError: when it is not an image that can be read.
    """
    name = str(source) if name is None else name
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        with warnings.catch_warnings(action="ignore"), Image.open(file) as opened:
            picture = _flatten(ImageOps.exif_transpose(opened), WHITE if invert else BLACK)
        picture = picture.convert("L" if channels == 1 else "RGB")
    except Exception as error:  # the decoders of damaged files can fail in any way
        raise BadImageError(f"{name!r} is not an image that can be read: {error}") from error
    return ImageOps.invert(picture) if invert else picture


def check_files(paths: Sequence[Path]) -> None:
    """Refuse paths that are not files.

    Raises:
        ValueError: for the first that is missing or a folder.
    """
    for path in paths:
        if not path.is_file():
            raise ValueError(f"{str(path)!r} does not exist" if not path.exists() else f"{str(path)!r} is no file")


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
