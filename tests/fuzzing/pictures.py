"""Pictures, and tar shards of them."""

import io
import json
import struct
import tarfile
import warnings
import zlib
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
from fuzzing.mutation import NUMBERS, deep_text, havoc, odd_value
from fuzzing.reader import Reader
from fuzzing.weights import small_weights
from PIL import Image

from trevsnn.data.metadata import without_metadata
from trevsnn.data.pictures import open_picture
from trevsnn.data.shards import tar_shards

SIZE = (9, 7)


_DEEP = {"I;16": 9, "F": 0.5}
"""Pixels of what is no byte: floats are from 0 to 1."""


def _pictures(*formats: str) -> list[bytes]:
    found = []
    for name in formats:
        for mode in ("L", "RGB", "RGBA", "P", "1", "I;16", "LA", "CMYK", "F"):
            if (name, mode) == ("ICNS", "P"):
                continue  # Pillow 13 loses its palette
            file, picture = io.BytesIO(), Image.new("RGB", SIZE, (10, 200, 90))
            try:
                made = picture.convert(mode) if mode not in _DEEP else Image.new(mode, SIZE, _DEEP[mode])
                made.save(file, name, **({"exif": _exif()} if name in ("JPEG", "PNG", "WEBP", "TIFF") else {}))
            except (OSError, ValueError, KeyError):
                continue  # no such pictures
            found.append(file.getvalue())
    return found


def _exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x011A] = 6, "a picture", 72.0  # orientation, description, resolution
    return exif.tobytes()


def _animation() -> bytes:
    file, frames = io.BytesIO(), [Image.new("P", SIZE, i) for i in range(3)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


def small_png() -> bytes:
    """In colour."""
    return _pictures("PNG")[1]


def tiff_with(tag: int, kind: int, count: int, value: int = 0) -> bytes:
    """A grey TIFF of one row of 9 pixels, with one tag more, or otherwise."""
    tags = {0x100: (3, 1, 9), 0x101: (3, 1, 1), 0x102: (3, 1, 8), 0x103: (3, 1, 1), 0x106: (3, 1, 1)}
    tags |= {0x111: (4, 1, 8), 0x115: (3, 1, 1), 0x116: (3, 1, 1), 0x117: (4, 1, 9), tag: (kind, count, value)}
    entries = b"".join(struct.pack("<HHII", name, *tags[name]) for name in sorted(tags))
    return b"II*\0" + struct.pack("<I", 18) + bytes(10) + struct.pack("<H", len(tags)) + entries + bytes(4)


def bmp_of(width: int, height: int) -> bytes:
    """A BMP of run lengths, of other sides than it has."""
    data = bytearray(_pictures("BMP")[0])
    struct.pack_into("<ii", data, 18, width, height)
    struct.pack_into("<I", data, 30, 1)
    return bytes(data)


def png_with(kind: bytes, content: bytes) -> bytes:
    """A PNG with one chunk more after its header."""
    data = small_png()
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return data[:33] + chunk + data[33:]


@cache
def _empty(size: int) -> bytes:
    """So many zeros, compressed."""
    return zlib.compress(bytes(size))


def _large(name: str, *modes: str) -> dict[str, bytes]:
    found, grain = {}, np.random.default_rng(0).integers(0, 256, (1000, 800, 3), np.uint8)
    for mode in modes:
        deep = {"I;16": grain[..., 0].astype(np.uint16) * 256, "F": grain[..., 0].astype(np.float32) / 255}
        made = Image.fromarray(deep[mode]) if mode in deep else Image.fromarray(grain).convert(mode)
        file = io.BytesIO()
        made.save(file, name)
        found[f"{name} {mode}"] = file.getvalue()
    return found


def _odd_png(random: Random, data: bytes) -> bytes:
    """Chunks of PNG with a right sum: changed, swapped, there twice, new."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return havoc(random, data)
    chunks, place = [], 8
    while place + 8 <= len(data):
        (size,) = struct.unpack_from(">I", data, place)
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + size]))
        place += size + 12
    which = random.randrange(len(chunks))
    kind, content = chunks[which]
    what = random.randrange(6)
    if what == 0 and kind == b"IHDR":
        fields = list(struct.unpack(">IIBBBBB", content))
        fields[random.randrange(7)] = random.choice((0, 1, 2, 3, 4, 6, 8, 16, 255, 60_000, 2**31 - 1))
        limits = (2**32, 2**32, 256, 256, 256, 256, 256)
        content = struct.pack(">IIBBBBB", *(value % limit for value, limit in zip(fields, limits, strict=True)))
        chunks[which] = kind, content
    elif what <= 1:
        chunks[which] = kind, havoc(random, content)
    elif what == 2:
        chunks.insert(which, random.choice(chunks))
    elif what == 3:
        del chunks[which]
    elif what == 4:
        extra = random.choice(
            (b"eXIf", b"iCCP", b"zTXt", b"iTXt", b"tEXt", b"tRNS", b"PLTE", b"acTL", b"fcTL", b"gAMA")
        )
        text = b"Raw profile type exif\0\0" + _empty(random.choice((10, 10**5, 10**8)))
        chunks.insert(1, (extra, random.choice((text, _exif(), havoc(random, _exif()), b"", bytes(6)))))
    else:
        pixels = _empty(random.choice((1, 100, 10**7)))
        chunks = [(kind, pixels if kind == b"IDAT" else content) for kind, content in chunks]
    parts = [data[:8]]
    for kind, content in chunks:
        parts.append(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)))
    return b"".join(parts)


def _read_picture(path: Path) -> Image.Image:
    channels = 1 + 2 * (path.stat().st_size % 2)
    picture = open_picture(path, channels)
    if picture.mode != ("L" if channels == 1 else "RGB"):
        raise AssertionError(f"mode {picture.mode} for {channels} channels")
    return picture


def _pixels(path: Path) -> int:
    """The file, and the picture as it says that it is, 4 bytes a pixel; without metadata too, as it is read where they
    are damaged."""
    content = path.read_bytes()
    sides = [_sides(content)]
    with suppress(Exception):
        sides.append(_sides(without_metadata(content) or b""))
    return len(content) + 4 * max(width * height for width, height in sides)


def _sides(content: bytes) -> tuple[int, int]:
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(content)) as picture:
            return picture.size
    except Exception:
        return 0, 0


# Tar shards


def _shard(labels: str) -> bytes:
    file, picture = io.BytesIO(), _pictures("PNG")[1]
    with tarfile.open(fileobj=file, mode="w") as tar:
        for i in range(3):
            label = str(i % 2).encode() if labels == "cls" else json.dumps({"label": i % 2, "width": 9}).encode()
            for extension, content in (("png", picture), (labels, label)):
                info = tarfile.TarInfo(f"folder/{i:03d}.{extension}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


_LABELS = (b"-1", b"1.5", b"9" * 5000, b"999999", b"1000000", "²".encode(), "٣".encode(), b"", b"cat", b"\xff\xfe0\x00")
_KINDS = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE)
_NAMES = ("a.png", "a.b.png", "001.jpg", "folder/001.cls", ".png", "/", "x" * 300 + ".png", "é.png", "\udcff.cls", "..")
_RECORDS = ("GNU.sparse.major", "GNU.sparse.size", "GNU.sparse.map", "GNU.sparse.realsize", "size", "path", "mtime")


def _odd_tar(random: Random, data: bytes) -> bytes:
    """Members with a right sum in their headers: of other names, kinds, sizes and contents."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = [(info, found.read() if (found := tar.extractfile(info)) else b"") for info in tar]
    for _ in range(random.choice((1, 1, 2, 3))):
        which = random.randrange(len(members))
        info, content = members[which]
        what = random.randrange(9)
        if what == 0:
            content = random.choice(_LABELS)
        elif what == 1:
            value = odd_value(random, {"label": random.choice((0, "cat", None, 1.0))})
            content = json.dumps(value).encode() if random.random() < 0.7 else deep_text(random, "[", "]")
            info.name = info.name.rpartition(".")[0] + ".json"
        elif what == 2:
            info.name = random.choice(_NAMES)
        elif what == 3:
            info.type, info.linkname = random.choice(_KINDS), random.choice((info.name, "nowhere", "folder/000.cls"))
        elif what == 4:
            members.append(random.choice(members))
        elif what == 5:
            del members[which]
            if not members:
                break
            continue
        elif what == 6:
            numbers = [str(number) for number in NUMBERS]
            info.pax_headers = {random.choice(_RECORDS): random.choice((*numbers, "1,2,3", "0,1", "x"))}
        elif what == 7:
            content = havoc(random, content)
        else:
            info.mtime, info.uid = random.choice(NUMBERS), random.choice(NUMBERS)
        info.size = len(content)
        members[which] = info, content
    file = io.BytesIO()
    form = random.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT))
    with tarfile.open(fileobj=file, mode="w", format=form) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    whole = bytearray(file.getvalue())
    if random.random() < 0.3:  # a header with another number, and a right sum
        place = 512 * random.randrange(max(1, len(whole) // 512))
        start, size = random.choice(((124, 12), (100, 8), (386, 96), (156, 1), (482, 1), (483, 12)))
        text = random.choice((b"77777777777", b"00000000000", b"\x80" + bytes(6) + b"\x7f" * 4, b"-1", b"\xff" * 11))
        whole[place + start : place + start + size] = text[:size].ljust(size, b"\0")
        header = bytes(whole[place : place + 512])
        total = sum(header[:148]) + 8 * 32 + sum(header[156:])
        whole[place + 148 : place + 156] = b"%06o\0 " % total
    return bytes(whole)


def _read_shard(path: Path) -> object:
    data = tar_shards(path.parent)
    for index in range(min(3, len(data.test))):
        try:
            data.test.open(index, 3)
        except ValueError as error:
            if path.name not in str(error):
                raise
    return data


def _class_names() -> list[bytes]:
    return [b"cat\ndog\n", "Katze\r\nHündin".encode(), b"a\nb\nc\nd\n"]


def _read_class_names(path: Path) -> object:
    shard = path.with_name("shard.tar")
    if not shard.exists():
        shard.write_bytes(_shard("cls"))
    return tar_shards(path.parent).class_names


def _predict(path: Path) -> Sequence[object]:
    weights = path.with_name("model.safetensors")
    weights.write_bytes(small_weights())
    return "predict", weights, path


def _train(path: Path) -> Sequence[object]:
    return "train", "webdataset", "--data", path.parent, "--dry-run"


_USUAL = ("JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
_RARE = ("JPEG2000", "AVIF", "ICO", "ICNS", "TGA", "DDS", "BLP", "DIB", "MSP", "PCX", "QOI", "SGI", "XBM")
READERS = (
    Reader(
        name="png",
        large=lambda: _large("PNG", "RGB", "RGBA", "LA", "P", "I;16"),
        file="picture.png",
        seeds=lambda: _pictures("PNG"),
        read=_read_picture,
        restructure=_odd_png,
        content=_pixels,
        command=_predict,
        watched=("/PIL/Png", "/PIL/Image", "/PIL/Tiff"),
    ),
    Reader(
        name="pictures",
        large=lambda: _large("TIFF", "F", "I;16", "CMYK") | _large("JPEG", "RGB"),
        file="picture.jpg",
        seeds=lambda: [*_pictures(*_USUAL), _animation()],
        read=_read_picture,
        content=_pixels,
        command=_predict,
        watched=("/PIL/",),
    ),
    Reader(
        name="rare pictures",
        large=lambda: _large("JPEG2000", "L", "RGB") | _large("TGA", "RGB"),
        file="picture.jp2",
        seeds=lambda: _pictures(*_RARE),
        read=_read_picture,
        content=_pixels,
        command=_predict,
        watched=("/PIL/",),
    ),
    Reader(
        name="tar shards",
        file="shard.tar",
        seeds=lambda: [_shard("cls"), _shard("json")],
        read=_read_shard,
        restructure=_odd_tar,
        words=(b"ustar  \0", b"ustar\00000", b"GNU.sparse.size=99999999999\n", b"L", b"K", b"x", b"g", b"S"),
        watched=("/tarfile.py",),
        command=_train,
    ),
    Reader(
        name="class names",
        file="classnames.txt",
        seeds=_class_names,
        read=_read_class_names,
        words=(b"\n", b"\r"),
        command=_train,
    ),
)
