import io
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from trevsnn.data import Augmentation, BadImageError, Preprocessing, load_dataset, open_picture
from trevsnn.data.metadata import without_metadata

HALF = np.repeat(np.array([[255, 0]], np.uint8), 16, axis=0).repeat(8, axis=1)  # (16, 16), left half white


def read_image(source, channels=1, size=(8, 8), invert=False):
    """The picture reduced to a size, as (channels, height, width)."""
    reduce = Preprocessing(input_size=(channels, *size), native_size=size).geometry()[0]
    pixels = np.array(reduce(open_picture(source, channels, invert=invert)))
    return torch.from_numpy(pixels).reshape(*size, channels).permute(2, 0, 1)


def expected_half():
    return torch.tensor([255] * 4 + [0] * 4, dtype=torch.uint8).expand(1, 8, 8)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "LA", "CMYK", "I;16", "F"])
def test_every_mode_reads_as_grey(tmp_path, mode):
    deep = {"I;16": HALF.astype(np.uint16) * 257, "F": HALF.astype(np.float32) / 255}
    picture = Image.fromarray(deep[mode]) if mode in deep else Image.fromarray(HALF).convert(mode)
    path = tmp_path / f"half.{'tif' if mode in ('CMYK', 'F') else 'png'}"
    picture.save(path)
    assert torch.equal(read_image(path), expected_half())


def test_colour_gives_three_channels(tmp_path):
    Image.new("RGB", (20, 20), (200, 100, 50)).save(tmp_path / "c.png")
    image = read_image(tmp_path / "c.png", 3, (4, 6))
    assert image.shape == (3, 4, 6)
    assert image[:, 2, 3].tolist() == [200, 100, 50]


def test_invert_swaps_dark_and_light(tmp_path):
    Image.fromarray(255 - HALF).save(tmp_path / "ink.png")
    assert torch.equal(read_image(tmp_path / "ink.png", invert=True), expected_half())


@pytest.mark.parametrize("invert", [False, True])
def test_transparency_becomes_background(tmp_path, invert):
    Image.new("RGBA", (8, 8), (90, 90, 90, 0)).save(tmp_path / "t.png")
    assert not read_image(tmp_path / "t.png", invert=invert).any()


def test_orientation_of_a_camera_is_applied(tmp_path):
    picture = Image.fromarray(HALF).rotate(90)  # white half at the bottom
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    picture.save(tmp_path / "photo.png", exif=exif)
    assert torch.equal(read_image(tmp_path / "photo.png"), expected_half())


def test_proportions_are_kept(tmp_path):
    Image.new("L", (32, 16), 255).save(tmp_path / "wide.png")
    image = read_image(tmp_path / "wide.png")
    assert image[0, :, 0].tolist() == [0, 0, 255, 255, 255, 255, 0, 0]


def test_enlarged_digit_reads_as_it_was(tmp_path):
    pixels = load_dataset("digits").test.pixels[0]
    Image.fromarray(pixels).resize((128, 128), Image.Resampling.NEAREST).save(tmp_path / "d.png")
    assert torch.equal(read_image(tmp_path / "d.png")[0], torch.from_numpy(pixels))


def test_content_is_read_like_a_file(tmp_path):
    Image.fromarray(HALF).save(tmp_path / "half.png")
    assert torch.equal(read_image((tmp_path / "half.png").read_bytes()), expected_half())


def test_many_more_pixels_than_bytes_are_refused():
    for side, reads in ((4000, True), (11_000, False)):
        file = io.BytesIO()
        Image.new("1", (side, side)).save(file, "TIFF", compression="group4")
        if reads:
            assert open_picture(file.getvalue(), 1).size == (side, side)
            continue
        with pytest.raises(
            BadImageError, match=r"its [\d,]+ bytes say that it has 121,000,000 pixels: .*smaller first"
        ):
            open_picture(file.getvalue(), 1)


def test_what_is_no_image_is_named(tmp_path):
    Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(tmp_path / "nan.tif")
    with pytest.raises(BadImageError, match=r"nan\.tif.* pixels that are not numbers"):
        open_picture(tmp_path / "nan.tif", 1)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:2000])
    with pytest.raises(BadImageError, match=r"cut\.png' is not an image that can be read"):
        open_picture(tmp_path / "cut.png", 3)
    with pytest.raises(BadImageError, match="'shard: x' is not an image"):
        open_picture(b"text", 3, "shard: x")
    (tmp_path / "pointer.png").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    for source in (tmp_path / "pointer.png", (tmp_path / "pointer.png").read_bytes()):
        with pytest.raises(BadImageError, match="it is a pointer of Git LFS, not the file itself; fetch it"):
            open_picture(source, 3)


PNG_TEXT = b"x" * (2**20 + 2**18)
"""More text than Pillow reads."""
PICTURE = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5


def chunk(kind, content, good=True):
    crc = zlib.crc32(kind + content) ^ (not good)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def png(*chunks, after=()):
    """`PICTURE` with more chunks before or after its pixels."""
    file = io.BytesIO()
    Image.fromarray(PICTURE).save(file, "PNG")
    whole = file.getvalue()
    return whole[:33] + b"".join(chunks) + whole[33:-12] + b"".join(after) + whole[-12:]


def exif(orientation, *tags):
    """EXIF of this orientation, and of other tags as (tag, type, count, four bytes)."""
    entries = [struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)]
    entries += [struct.pack("<HHI", *tag) + value for *tag, value in tags]
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + b"".join(sorted(entries)) + bytes(4)


BAD_TAGS = {
    "far": (0x0110, 2, 2**20, b"\xff\xff\0\0"),
    "negative": (0x9201, 10, 1, b"\xff\xff\xff\xff"),
    "no type": (0x0111, 99, 1, bytes(4)),
}


@pytest.mark.parametrize(
    "content",
    [
        png(chunk(b"eXIf", b"garbage")),
        png(chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n 4\nzz-no-hex\n"))),
        png(chunk(b"zTXt", b"Comment\0\0" + zlib.compress(PNG_TEXT))),
        png(*[chunk(b"zTXt", b"C\0\0" + zlib.compress(PNG_TEXT[: 2**20])) for _ in range(65)]),
        png(after=[chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(PNG_TEXT))]),
        png(chunk(b"iCCP", b"profile\0\0not compressed")),
        png(chunk(b"iCCP", b"profile\0\0" + zlib.compress(PNG_TEXT))),
        png(chunk(b"tEXt", b"Comment\0text", good=False)),
        png(chunk(b"pHYs", b"\0")),
        png(chunk(b"cHRM", b"\0\1")),
        png(chunk(b"eXIf", exif(9))),
        png(chunk(b"eXIf", exif(0, BAD_TAGS["far"]))),
        png(chunk(b"acTL", b"\0")),
        png(chunk(b"fcTL", b"\0")),
        png(chunk(b"tRNS", b"")),
    ],
    ids=range(15),
)
def test_metadata_decides_nothing(content):
    assert np.array_equal(open_picture(content, 3), PICTURE)


@pytest.mark.parametrize("tag", BAD_TAGS.values(), ids=BAD_TAGS)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_an_orientation_beside_what_cannot_be_read(kind, tag):
    file = io.BytesIO()
    options = {} if kind == "TIFF" else {"exif": b"Exif\0\0" + exif(6, tag)}
    Image.fromarray(PICTURE).resize((16, 8)).save(
        file, kind, **({"lossless": True} if kind == "WEBP" else {}), **options
    )
    content = file.getvalue()
    if kind == "TIFF":
        content = with_tags(content, (0x0112, 3, 1, struct.pack("<HH", 6, 0)), tag)
    assert open_picture(content, 3).size == (8, 16)


def with_tags(content, *tags):
    """A TIFF with more tags in its directory."""
    (place,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, place)
    entries = [content[place + 2 + 12 * i : place + 14 + 12 * i] for i in range(count)]
    entries += [struct.pack("<HHI", *tag) + value for *tag, value in tags]
    entries.sort(key=lambda entry: struct.unpack_from("<H", entry))
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return content[:4] + struct.pack("<I", len(content)) + content[8:] + directory


def test_metadata_of_other_formats():
    picture = Image.fromarray(PICTURE).resize((16, 8))
    for kind, options in (("JPEG", {"quality": 95}), ("WEBP", {"lossless": True}), ("TIFF", {})):
        file = io.BytesIO()
        picture.save(file, kind, **options)
        expected = np.asarray(open_picture(file.getvalue(), 3))
        for extra in (b"no profile", bytes(200)):
            file = io.BytesIO()
            picture.save(file, kind, icc_profile=extra, **options)
            assert np.array_equal(open_picture(file.getvalue(), 3), expected)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=95)
    whole, expected = file.getvalue(), np.asarray(open_picture(file.getvalue(), 3))
    for marker in (0xE1, 0xE2, 0xED, 0xFE):
        for text in (
            b"Exif\0\0II*\0",
            b"ICC_PROFILE\0",
            b"Photoshop 3.0\0008BIM\4\4\0\0",
            b"MPF\0II*\0\x08\0\0\0\x01\0",
            b"",
        ):
            segment = struct.pack(">BBH", 0xFF, marker, len(text) + 2) + text
            assert np.array_equal(open_picture(whole[:2] + segment + whole[2:], 3), expected)
    for segment in (b"\xff\xe0\0\7JFIF\0", b"\xff\xee\0\7Adobe"):  # too short for what they begin to say
        assert np.array_equal(open_picture(whole[:2] + segment + whole[2:], 3), expected)


def test_the_rest_of_metadata_is_left_out():
    assert without_metadata(b"GIF89a") is None
    plain = without_metadata(png(chunk(b"zTXt", b"C\0\0"), chunk(b"eXIf", exif(6)), chunk(b"eXIf", b"", good=False)))
    assert b"eXIf" in plain
    assert b"zTXt" not in plain
    assert np.array_equal(open_picture(plain, 3), np.rot90(PICTURE, -1))


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (np.array([[0, 65535, 32768]], np.uint16), [0, 255, 128]),
        (np.array([[0, 2**32 - 1, 2**31]], np.uint32), [0, 255, 128]),
        (np.array([[0, 2**31 - 1, 2**30]], np.int32), [0, 255, 128]),
        (np.array([[0.0, 0.5, 0.25]], np.float32), [0, 128, 64]),
        (np.array([[0, 0, 0]], np.int32), [0, 0, 0]),
    ],
    ids=["uint16", "uint32", "int32", "float", "black"],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_deep_pixels_have_the_scale_of_their_type(numbers, expected, order):
    if order == ">" and numbers.dtype == np.uint32:
        return  # Pillow does not read it
    assert np.asarray(open_picture(tiff(numbers, order), 1)).tolist() == [expected]


@pytest.mark.parametrize(
    "numbers",
    [np.array([[0, 4095]], np.int32), np.array([[0, 200]], np.uint32), np.array([[0, 255]], np.float32),
     np.array([[-1, 2**30]], np.int32)],
)  # fmt: skip
def test_pixels_whose_white_is_not_known_are_refused(numbers):
    with pytest.raises(BadImageError, match=r"its pixels are numbers from .* white is not known; store floats from 0"):
        open_picture(tiff(numbers), 1)


def test_grey_in_other_ways():
    assert np.asarray(open_picture(tiff(np.array([[0, 65535]], np.uint16), white_is_zero=True), 1)).tolist() == [
        [255, 0]
    ]
    assert np.asarray(open_picture(b"P5 2 1 65535\n\0\0\xff\xff", 1)).tolist() == [[0, 255]]
    file = io.BytesIO()
    Image.fromarray(np.array([[0, 65535]], np.uint16)).save(file, "PNG", transparency=65535)
    assert np.asarray(open_picture(file.getvalue(), 1)).tolist() == [[0, 0]]
    file = io.BytesIO()
    Image.new("LAB", (1, 1), (255, 128, 128)).save(file, "TIFF")
    assert np.asarray(open_picture(file.getvalue(), 3)).min() > 250


def tiff(numbers, order="<", white_is_zero=False):
    """A TIFF of one row as its tags say, byte by byte."""
    kind = {"u": 1, "i": 2, "f": 3}[numbers.dtype.kind]
    pixels = numbers.astype(numbers.dtype.newbyteorder(order)).tobytes()
    tags = {256: numbers.shape[1], 257: 1, 258: 8 * numbers.dtype.itemsize, 259: 1, 262: int(not white_is_zero)}
    tags |= {273: 8, 277: 1, 278: 1, 279: len(pixels), 339: kind}
    entries = [struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in sorted(tags.items())]
    directory = struct.pack(f"{order}H", len(entries)) + b"".join(entries) + bytes(4)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(pixels))
    return head + pixels + directory


@pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1), (20_000, 2)])
@pytest.mark.parametrize("native", [None, (8, 8)])
def test_very_long_pictures_stay_small(size, native, monkeypatch):
    resize, sizes = Image.Image.resize, []

    def watched(picture, size, *arguments, **options):
        sizes.append(size)
        return resize(picture, size, *arguments, **options)

    monkeypatch.setattr(Image.Image, "resize", watched)
    preprocessing = Preprocessing(input_size=(1, 224, 224), native_size=native, crop_pct=0.875)
    assert preprocessing.transform()(Image.new("L", size, 255)).shape == (1, 224, 224)
    assert max(width * height for width, height in sizes) < 3e6
    augmented = Augmentation().transform(
        replace(preprocessing, input_size=(3, 32, 32), mean=(0.5,) * 3, std=(0.5,) * 3)
    )
    assert augmented(Image.new("RGB", size)).shape == (3, 32, 32)


def test_the_middle_of_a_long_picture_is_that_of_the_whole(monkeypatch):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (2, 301), np.uint8))
    transform = Preprocessing(input_size=(1, 16, 16), crop_pct=0.9).transform()
    middle = transform(picture)
    monkeypatch.setattr("trevsnn.data.preprocessing._LONGEST", 1000)
    assert torch.allclose(middle, transform(picture), atol=2.1 / 255)  # a step of the pixels


def test_frames_bombs_and_other_files(tmp_path, monkeypatch):
    file = io.BytesIO()
    frames = [Image.new("RGB", (4, 4), colour) for colour in ((200, 0, 0), (0, 200, 0))]
    for kind in ("GIF", "PNG", "TIFF", "WEBP"):
        file = io.BytesIO()
        frames[0].save(file, kind, save_all=True, append_images=frames[1:])
        red, green, _ = open_picture(file.getvalue(), 3).getpixel((0, 0))
        assert red > 190
        assert green < 10
    with pytest.raises(BadImageError, match="'empty' is not an image that can be read: it is empty"):
        open_picture(b"", 3, "empty")
    with pytest.raises(BadImageError, match="of no kind that Pillow reads"):
        open_picture(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", 3, "code to be run")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 7)
    with pytest.raises(BadImageError, match=r"Image size \(16 pixels\) is too large; make it smaller first"):
        open_picture(file.getvalue(), 3)
