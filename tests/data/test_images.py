import numpy as np
import pytest
import torch
from PIL import Image

from trevsnn.data import load_dataset, read_image

SIZE = (8, 8)
HALF = np.repeat(np.array([[255, 0]], np.uint8), 16, axis=0).repeat(8, axis=1)  # (16, 16), left half white


def expected_half():
    return torch.tensor([255] * 4 + [0] * 4, dtype=torch.uint8).expand(1, 8, 8)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "LA", "CMYK", "I;16", "F"])
def test_every_mode_reads_as_grey(tmp_path, mode):
    deep = Image.fromarray(HALF.astype(np.uint16) * 257)
    picture = deep if mode == "I;16" else Image.fromarray(HALF).convert(mode)
    path = tmp_path / f"half.{'tif' if mode in ('CMYK', 'F') else 'png'}"
    picture.save(path)
    assert torch.equal(read_image(path, 1, SIZE), expected_half())


def test_colour_gives_three_channels(tmp_path):
    Image.new("RGB", (20, 20), (200, 100, 50)).save(tmp_path / "c.png")
    image = read_image(tmp_path / "c.png", 3, (4, 6))
    assert image.shape == (3, 4, 6)
    assert image[:, 2, 3].tolist() == [200, 100, 50]


def test_invert_swaps_dark_and_light(tmp_path):
    Image.fromarray(255 - HALF).save(tmp_path / "ink.png")
    assert torch.equal(read_image(tmp_path / "ink.png", 1, SIZE, invert=True), expected_half())


@pytest.mark.parametrize("invert", [False, True])
def test_transparency_becomes_background(tmp_path, invert):
    Image.new("RGBA", (8, 8), (90, 90, 90, 0)).save(tmp_path / "t.png")
    assert not read_image(tmp_path / "t.png", 1, SIZE, invert=invert).any()


def test_orientation_of_a_camera_is_applied(tmp_path):
    picture = Image.fromarray(HALF).rotate(90)  # white half at the bottom
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    picture.save(tmp_path / "photo.png", exif=exif)
    assert torch.equal(read_image(tmp_path / "photo.png", 1, SIZE), expected_half())


def test_proportions_are_kept(tmp_path):
    Image.new("L", (32, 16), 255).save(tmp_path / "wide.png")
    image = read_image(tmp_path / "wide.png", 1, SIZE)
    assert image[0, :, 0].tolist() == [0, 0, 255, 255, 255, 255, 0, 0]


def test_enlarged_digit_reads_as_it_was(tmp_path):
    pixels = load_dataset("digits").test.pixels[0]
    Image.fromarray(pixels[0].numpy()).resize((128, 128), Image.Resampling.NEAREST).save(tmp_path / "d.png")
    assert torch.equal(read_image(tmp_path / "d.png", 1, SIZE), pixels)


def test_pixels_that_are_no_numbers_are_refused(tmp_path):
    Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(tmp_path / "nan.tif")
    with pytest.raises(ValueError, match=r"nan\.tif.* pixels that are no numbers"):
        read_image(tmp_path / "nan.tif", 1, SIZE)


def test_what_is_no_image_is_refused(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        read_image(tmp_path / "missing.png", 1, SIZE)
    with pytest.raises(ValueError, match="no file"):
        read_image(tmp_path, 1, SIZE)
    text = tmp_path / "text.png"
    text.write_text("not a picture")
    with pytest.raises(ValueError, match=r"text\.png.* is not an image"):
        read_image(text, 1, SIZE)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(tmp_path / "whole.png")
    cut = tmp_path / "cut.png"
    cut.write_bytes((tmp_path / "whole.png").read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"cut\.png.* is not an image"):
        read_image(cut, 1, SIZE)
