import pytest
from PIL import Image

from trevsnn.plots.style import new_figure, save_png, tidy


def test_a_figure_has_its_size_in_pixels(tmp_path):
    save_png(new_figure(3, 2, dpi=50), tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (150, 100))


def test_a_picture_that_fails_leaves_the_one_before(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(b"before")
    figure = new_figure(1, 1)
    figure.savefig = lambda *_, **__: pytest.fail("no space left")
    with pytest.raises(BaseException, match="no space left"):
        save_png(figure, path)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("grid", [False, True])
def test_tidy_axes_have_no_frame_above_and_on_the_right(grid):
    axes = new_figure(1, 1).subplots()
    tidy(axes, grid)
    assert [name for name, spine in axes.spines.items() if spine.get_visible()] == ["left", "bottom"]
    assert axes.xaxis.get_gridlines()[0].get_visible() == grid
