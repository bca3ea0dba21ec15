"""What stands in picture files beside the pixels: how the picture is to be turned, and files without the rest."""

import struct
import zlib
from collections.abc import Iterator

from PIL import Image

_ORIENTATION = 0x0112
_TURNS: dict[int | None, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_PNG_KEPT = {b"tRNS": 1, b"eXIf": 0}
"""Chunks that are not critical, and their shortest; without those of an animation, its first frame is left."""
_JFIF, _EXIF, _ADOBE = 0xE0, 0xE1, 0xEE
_JPEG_KEPT = {_JFIF: 16, _EXIF: 0, _ADOBE: 14}
"""Segments that say something of orientation and colour, and their shortest (bytes)."""
_TIFF_KEPT = {
    *range(254, 260), 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 338, 339, 347,
    512, 513, 514, 529, 530, 531, 532,
}  # fmt: skip


def turn_of(picture: Image.Image) -> Image.Transpose | None:
    """What sets an opened picture upright, as its EXIF says; None where that says nothing that can be read."""
    try:
        return _TURNS.get(picture.getexif()[_ORIENTATION])
    except Exception:  # what stands there instead can fail in any way, and hide what comes after it
        exif = picture.info.get("exif")
        return _TURNS.get(_orientation(exif.removeprefix(b"Exif\0\0"))) if isinstance(exif, bytes) else None


def without_metadata(content: bytes) -> bytes | None:
    """The file with what its pixels and orientation need alone; None for a format that is not known here.

    A PNG, JPEG, WebP or TIFF. Its pixels are as damaged as they were.
    """
    try:
        if content.startswith(_PNG):
            return _PNG + b"".join(_png_chunks(content))
        if content.startswith(_JPEG):
            return b"".join(_jpeg_segments(content))
        if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
            return _webp(content)
        if content[:4] in (b"II*\0", b"MM\0*"):
            return _tiff(content)
    except (struct.error, IndexError):
        pass
    return None


def _png_chunks(content: bytes) -> Iterator[bytes]:
    place = len(_PNG)
    while place + 8 <= len(content):
        (size,), kind = struct.unpack_from(">I", content, place), content[place + 4 : place + 8]
        chunk = content[place : place + 12 + size]
        needed = kind[:1].isupper()
        whole = len(chunk) == 12 + size and zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")
        if needed or (whole and size >= _PNG_KEPT.get(kind, size + 1)):
            yield chunk
        place += 12 + size


def _jpeg_segments(content: bytes) -> Iterator[bytes]:
    place = 2
    yield content[:2]
    while content[place] == 0xFF:
        marker = content[place + 1]
        if marker == 0xFF:  # filling
            place += 1
            continue
        if marker == 0xDA:  # the pixels
            break
        end = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        told = 0xE0 <= marker <= 0xEF or marker == 0xFE
        segment = content[place:end]
        if not told or len(segment) >= _JPEG_KEPT.get(marker, len(segment) + 1):
            if marker != _EXIF:
                yield segment
            elif (orientation := _orientation(segment[10:])) is not None:
                yield _exif_segment(orientation)
        place = end
    yield content[place:]


def _orientation(exif: bytes) -> int | None:
    """That of the first directory of EXIF data, whatever else they hold."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 8:
        return None
    (place,) = struct.unpack_from(f"{order}I", exif, 4)
    if place + 2 > len(exif):
        return None
    (count,) = struct.unpack_from(f"{order}H", exif, place)
    for entry in range(place + 2, min(place + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, entry)
        if tag == _ORIENTATION and kind == 3:
            return value
    return None


def _exif_segment(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    content = exif.tobytes()
    return b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content


def _webp(content: bytes) -> bytes:
    parts, place = [], 12
    while place + 8 <= len(content):
        kind = content[place : place + 4]
        size = int.from_bytes(content[place + 4 : place + 8], "little")
        end = place + 8 + size + size % 2
        chunk = content[place:end]
        if kind == b"VP8X":
            chunk = chunk[:8] + bytes([chunk[8] & ~0x24]) + chunk[9:]  # no profile, no XMP
        if kind not in (b"ICCP", b"XMP "):
            parts.append(chunk)
        place = end
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _tiff(content: bytes) -> bytes:
    order = "<" if content[:2] == b"II" else ">"
    (place,) = struct.unpack_from(f"{order}I", content, 4)
    (count,) = struct.unpack_from(f"{order}H", content, place)
    entries = [content[place + 2 + 12 * i : place + 14 + 12 * i] for i in range(count)]
    kept = [entry for entry in entries if struct.unpack_from(f"{order}H", entry)[0] in _TIFF_KEPT]
    padded = content + b"\0" * (len(content) % 2)
    directory = struct.pack(f"{order}H", len(kept)) + b"".join(kept) + bytes(4)
    return padded[:4] + struct.pack(f"{order}I", len(padded)) + padded[8:] + directory
