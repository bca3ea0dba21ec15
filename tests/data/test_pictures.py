import numpy as np
import pytest
import torch
from PIL import Image

from trevsnn.data import BadImageError, Preprocessing, load_dataset, open_picture

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


def test_what_is_no_image_is_named(tmp_path):
    Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(tmp_path / "nan.tif")
    with pytest.raises(BadImageError, match=r"nan\.tif.* pixels that are no numbers"):
        open_picture(tmp_path / "nan.tif", 1)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:2000])
    with pytest.raises(BadImageError, match=r"cut\.png' is not an image that can be read"):
        open_picture(tmp_path / "cut.png", 3)
    with pytest.raises(BadImageError, match="'shard: x' is not an image"):
        open_picture(b"text", 3, "shard: x")
