"""Image files of any mode as grey or colour pictures of 8 bits."""

import io
import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from trevsnn.data.metadata import turn_of, without_metadata
from trevsnn.data.quiet import quiet
from trevsnn.models.file_kind import stand_in

BLACK, WHITE = 0, 255
_NO_PICTURES = {"BUFR", "EPS", "GBR", "GRIB", "HDF5", "IMT", "IPTC", "MCIDAS", "MPEG", "SPIDER", "WMF"}
"""Formats that Pillow knows of: pages, films, brushes and measurements. Some would take any damaged file for theirs."""
_USUAL = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif")


logging.getLogger("PIL").addHandler(logging.NullHandler())  # what it says of damaged files is in its exceptions, too
Image.init()
_FORMATS = [name for name in Image.ID if name not in _NO_PICTURES]
_READ = {
    extension
    for extension, name in Image.registered_extensions().items()
    if name in (*_FORMATS, "MPO")  # which is opened as a JPEG is
}
EXTENSIONS = (*_USUAL, *sorted(_READ - {*_USUAL}))
"""Of the files that the installed Pillow reads as pictures, the usual ones first."""
NOT_READ: Mapping[str, str] = dict.fromkeys((".heic", ".heif"), "a picture that Pillow does not read: save it as JPEG")
"""By the ends of names: pictures of other kinds, and the way out."""
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
"""Tags of TIFF."""
_HEAD = 512
_DARK = 2**24
"""On a scale of 32 bits, all below is black."""

_FEW_PIXELS, _MOST_PIXELS = 2**24, 20_000
"""A picture may have so many, and so many for each byte of its file where these are more."""


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
        name: what to call it in messages; its path by default, or its size.
        invert: for dark ink on white paper: swap dark and light; the background of the file is then white.

    Raises:
        BadImageError: when it is not an image that can be read.
    """
    if name is None:
        name = f"{len(source):,} bytes" if isinstance(source, bytes) else str(source)
    content, background = b"", WHITE if invert else BLACK
    try:
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
        try:
            picture = _read(content, background)
        except (Image.DecompressionBombError, MemoryError):
            raise
        except Exception:
            plain = without_metadata(content)
            if plain is None:
                raise
            picture = _read(plain, background)
        picture = picture.convert("L" if channels == 1 else "RGB")
    except Exception as error:  # the decoders of damaged files can fail in any way
        raise BadImageError(f"{name!r} is not an image that can be read: {_reason(error, content)}") from error
    return ImageOps.invert(picture) if invert else picture


def _read(content: bytes, background: int) -> Image.Image:
    """Upright, grey or RGB of 8 bits.

    From memory: Pillow would make room for what a damaged file says that it holds, and a file on the disk lets it.
    """
    with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(content), formats=_FORMATS) as opened:
        _check_size(opened.width * opened.height, len(content))
        with quiet() if isinstance(opened, TiffImageFile) else nullcontext():
            opened.load()
        turn = turn_of(opened)
        picture = _flatten(opened, background)
        return picture if turn is None else picture.transpose(turn)


def _check_size(pixels: int, size: int) -> None:
    """Refuse a file that says that it has many more pixels than it could hold, as damaged ones do.

    Raises:
        ValueError: naming both.
    """
    if pixels > max(_FEW_PIXELS, _MOST_PIXELS * size):
        raise ValueError(
            f"its {size:,} bytes say that it has {pixels:,} pixels: it is damaged, or empty; make it smaller first"
        )


def _reason(error: Exception, content: bytes) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"{str(error).partition(' exceeds')[0]} is too large; make it smaller first"
    if isinstance(error, MemoryError):
        return "there is too little memory for it"
    if not isinstance(error, UnidentifiedImageError):
        return str(error) or f"Pillow fails at it ({type(error).__name__})"
    if not content:
        return "it is empty"
    kind = stand_in(content[:_HEAD])
    return "it is of no kind that Pillow reads" if kind is None else f"it {kind}"


def check_files(paths: Sequence[Path]) -> None:
    """Refuse paths that are not files.

    Raises:
        ValueError: for the first that is missing or a folder.
    """
    for path in paths:
        if not path.is_file():
            raise ValueError(f"{str(path)!r} does not exist" if not path.exists() else f"{str(path)!r} is not a file")


def _flatten(picture: Image.Image, background: int) -> Image.Image:
    """Grey or RGB of 8 bits, transparency laid on the background."""
    if picture.mode.startswith(("I", "F")):  # 16 or 32 bits: convert() would clip at 255
        return _from_deep(picture, background)
    if picture.mode == "LAB":
        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(picture, *profiles, outputMode="RGB")
        assert converted is not None, "as it is not done in place"
        return converted
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, (background,) * 3 + (255,)), layer).convert("RGB")
    return picture if picture.mode == "L" else picture.convert("RGB")


def _from_deep(picture: Image.Image, background: int) -> Image.Image:
    """Grey of 16 or 32 bits, or floats, on a scale that follows from the type of the numbers alone.

    Raises:
        ValueError: when white is not known: for floats beyond 1, and integers of 32 bits of which all are black.
    """
    numbers = np.asarray(picture)
    tags = picture.tag_v2 if isinstance(picture, TiffImageFile) else {}
    bits, kind = (next(iter(tags.get(tag, (default,)))) for tag, default in ((_BITS, 16), (_SAMPLE_FORMAT, 1)))
    if picture.mode == "F":
        white = 1.0
    elif picture.mode.startswith("I;16") or picture.format in ("PNG", "PPM"):
        white = 2.0**bits - 1
    else:
        bits = bits if tags else 32
        signed = kind == 2 or not tags
        numbers = numbers if signed else numbers.view(np.uint32)
        white = 2.0 ** (bits - signed) - 1
    smallest, largest = float(numbers.min()), float(numbers.max())
    if not math.isfinite(smallest) or not math.isfinite(largest):
        raise ValueError("it has pixels that are not numbers")
    if smallest < 0 or largest > white or (white > 2**16 and 0 < largest < _DARK):
        raise ValueError(
            f"its pixels are numbers from {smallest:g} to {largest:g} of 32 bits, of which white is not known; store "
            "floats from 0 to 1, or integers of 8 or 16 bits"
        )
    grey = np.empty(numbers.shape, np.uint8)
    for row, values in zip(grey, numbers, strict=True):  # one after the other: they take eight times as much meanwhile
        row[:] = (values.astype(np.float64) / white * 255).round()
    if tags.get(_PHOTOMETRIC) == 0:
        grey = WHITE - grey
    if isinstance(clear := picture.info.get("transparency"), int):
        grey[numbers == clear] = background
    return Image.fromarray(grey)
