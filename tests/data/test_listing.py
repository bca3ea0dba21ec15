"""What listing folders leaves out is told, and nothing is listed twice."""

import os
import socket

import pytest
from PIL import Image

from trevsnn.data import describe_data, list_data, load_dataset
from trevsnn.data.inventory import Listing, in_words
from trevsnn.data.listing import list_folder


@pytest.fixture
def root(tmp_path):
    """train/ and val/ of two classes of two pictures each."""
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            for i in range(2):
                write(tmp_path / split / name / f"{i}.png")
    return tmp_path


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (3, 3)).save(path, format="PNG")


def left_out(root, **options):
    data = load_dataset("imagefolder", root, **options)
    return {part.why: part.names for part in data.inventory.left_out}, data


def test_nothing_is_left_out(root):
    assert describe_data(load_dataset("imagefolder", root)) == "imagefolder: 4 to train on, 4 to test on, 2 classes"


def test_every_reason_is_told(root):
    cat = root / "train" / "cat"
    for name in ("notes.txt", "boxes.xml", "more.txt", "LICENSE", ".hidden.png", "Thumbs.db", "desktop.ini"):
        (cat / name).touch()
    for folder in ("@eaDir/0.png", "__MACOSX", ".ipynb_checkpoints"):
        write(cat / folder / "1.png")
    write(root / "train" / "loose.png")
    write(root / "test" / "4.png")
    (root / "labels.csv").touch()
    (cat / "gone.png").symlink_to("nowhere")
    os.mkfifo(cat / "pipe.png")
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(cat / "s.jpg"))
    found, data = left_out(root)
    assert found == {
        "of other kinds": ("train/cat/LICENSE", "train/cat/boxes.xml", "train/cat/more.txt", "train/cat/notes.txt"),
        "hidden": ("train/cat/.hidden.png", "train/cat/.ipynb_checkpoints/"),
        "of the system": (
            "train/cat/@eaDir/",
            "train/cat/Thumbs.db",
            "train/cat/__MACOSX/",
            "train/cat/desktop.ini",
        ),
        "outside class folders": ("train/loose.png",),
        "beside the splits": ("labels.csv", "test/"),
        "dead links": ("train/cat/gone.png",),
        "neither files nor folders": ("train/cat/pipe.png", "train/cat/s.jpg"),
    }
    assert len(data.train) == len(data.test) == 4
    line = describe_data(data)
    assert "; left out 16: 4 of other kinds (.txt, .xml, no extension), 4 of the system (" in line
    assert "2 hidden, " in line
    assert "1 dead link (train/cat/gone.png), 1 outside class folders" in line
    listed = list_data(data)
    assert listed["train"] == {
        "samples": 4,
        "classes": [{"class": "cat", "samples": 2}, {"class": "dog", "samples": 2}],
    }
    (others,) = (part for part in listed["left_out"] if part["why"] == "of other kinds")
    assert others["extensions"] == {".txt": 2, ".xml": 1, "no extension": 1}
    assert others["not_named"] == 0


def test_of_very_many_some_are_named(root, monkeypatch):
    monkeypatch.setattr("trevsnn.data.inventory.MOST_NAMED", 3)
    for i in range(5):
        (root / "val" / "dog" / f"{i}.txt").touch()
    (part,) = list_data(load_dataset("imagefolder", root))["left_out"]
    assert (part["count"], len(part["names"]), part["not_named"]) == (5, 3, 2)


def test_extensions_are_those_of_pillow(root):
    for name in ("a.jfif", "b.jpe", "c.avif", "d.jp2", "e.tga", "f.dib", "g.apng", "h.PNM", "i.ico", "j.mpo", "k.qoi"):
        (root / "train" / "cat" / name).touch()
    for name in ("a.pdf", "b.eps", "c.mpeg", "d.h5", "e.svg", "f.heic"):
        (root / "train" / "dog" / name).touch()
    found, data = left_out(root)
    assert data.train.labels.tolist() == [0] * 13 + [1] * 2
    assert len(found["of other kinds"]) == 6


def test_links_that_lead_back_are_named(root):
    train = root / "train"
    (train / "cat" / "loop").symlink_to("..")
    (train / "cat" / "self").symlink_to(".")
    (train / "dog" / "round.png").symlink_to("round.png")
    (train / "top").symlink_to("..")
    found, data = left_out(root)
    assert data.train.labels.tolist() == [0, 0, 1, 1]
    assert found["link loops"] == ("train/cat/loop/", "train/cat/self/", "train/dog/round.png", "train/top")


def test_no_folder_is_listed_twice(root, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    write(outside / "8.png")
    train = root / "train"
    for name in ("cat", "dog"):
        (train / name / "more").symlink_to(outside)
    (train / "cat" / "a").symlink_to(train / "dog")
    found, data = left_out(root)
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1], "those outside are of the class that comes first"
    assert found == {"links to folders that are listed already": ("train/cat/a/", "train/dog/more/")}


def test_a_class_twice_is_refused(root):
    (root / "train" / "puss").symlink_to("cat")
    with pytest.raises(ValueError, match=r"class folders '(cat|puss)' and '(cat|puss)' of .* are the same folder"):
        load_dataset("imagefolder", root)


def test_a_class_that_is_a_dead_link_is_refused(root):
    (root / "train" / "zoo").symlink_to("/nowhere/zoo")
    with pytest.raises(ValueError, match="train/zoo' is a link to '/nowhere/zoo', which is not there: bring that back"):
        load_dataset("imagefolder", root)


def test_testing_on_what_is_trained_on_is_told(tmp_path):
    for name in ("cat", "dog"):
        write(tmp_path / "train" / name / "0.png")
    (tmp_path / "val").symlink_to("train")
    assert "2 folders are both to train and to test on" in describe_data(load_dataset("imagefolder", tmp_path))


def test_folders_that_cannot_be_read(root, monkeypatch):
    write(root / "train" / "cat" / "deep" / "1.png")

    def refusing(name):
        scan = os.scandir

        def scandir(folder):
            if os.path.basename(folder) == name:
                raise PermissionError(13, "Permission denied", folder)
            return scan(folder)

        return scandir

    with monkeypatch.context() as patch:
        patch.setattr("os.scandir", refusing(b"deep"))
        found, _ = left_out(root)
        assert found == {"folders that cannot be read": ("train/cat/deep/",)}
    monkeypatch.setattr("os.scandir", refusing(b"dog"))
    with pytest.raises(ValueError, match=r"class folder '.*dog' cannot be read: Permission denied"):
        load_dataset("imagefolder", root)


def test_a_class_without_pictures_says_what_it_holds(root):
    (root / "train" / "download").mkdir()
    (root / "train" / "download" / "data.zip").touch()
    message = r"download' holds no file of the right kind \(\.jpg.*\) but 1 of other kinds \(\.zip\): add some, or move"
    with pytest.raises(ValueError, match=message):
        load_dataset("imagefolder", root)


def test_ways_out_of_other_kinds_are_told(root):
    (root / "train" / "cat" / "1.HEIC").touch()
    assert describe_data(load_dataset("imagefolder", root)).endswith(
        "left out 1: 1 of other kinds (.heic); .heic is a picture that Pillow does not read: save it as JPEG"
    )
    other = root / "recordings" / "lion"
    other.mkdir(parents=True)
    (other / "0.raw").touch()
    message = r"lion' holds no file .* of other kinds \(\.raw\): add .*; \.raw is a RAW file of Prophesee: convert it"
    with pytest.raises(ValueError, match=message):
        load_dataset("events/folder", root / "recordings", sensor_size=(4, 4))


def test_splits_in_large_letters(root):
    (root / "train").rename(root / "Train")
    (root / "val").rename(root / "VALIDATION")
    data = load_dataset("imagefolder", root)
    assert data.class_names == ("cat", "dog")
    assert len(data.train) == 4
    write(root / "train" / "cat" / "0.png")
    with pytest.raises(ValueError, match="has 'Train' and 'train': put them together"):
        load_dataset("imagefolder", root)


def test_names_are_compared_as_people_see_them(tmp_path):
    for split, names in (("train", ("cafe\u0301", "tea ")), ("val", ("caf\u00e9", "tea"))):
        for name in names:
            write(tmp_path / split / name / "0.png")
    os.mkdir(os.fsencode(tmp_path / "train") + b"/cr\xe8me")
    write(tmp_path / "val" / "cr\u00e8me" / "0.png")
    os.symlink(tmp_path / "val" / "tea" / "0.png", os.fsencode(tmp_path / "train") + b"/cr\xe8me/\xff.png")
    data = load_dataset("imagefolder", tmp_path)
    assert data.class_names == ("café", "crème", "tea")
    assert data.train.labels.tolist() == data.test.labels.tolist() == [0, 1, 2]
    assert data.train.open(1, 1).size == (3, 3)
    write(tmp_path / "val" / "cafe\u0301" / "0.png")
    with pytest.raises(ValueError, match=r"class folders b'caf.*' and b'caf.*' of .* look the same, 'café'"):
        load_dataset("imagefolder", tmp_path)


def test_large_and_small_letters(root):
    (root / "val" / "cat").rename(root / "val" / "Cat")
    with pytest.raises(ValueError, match="'cat' and 'Cat' differ in large and small letters only: rename one"):
        load_dataset("imagefolder", root)
    write(root / "val" / "cat" / "0.png")
    write(root / "train" / "Cat" / "0.png")
    assert "'Cat' and 'cat' are two classes" in describe_data(load_dataset("imagefolder", root))


def test_deep_folders(root):
    deep = root / "train" / "cat"
    for _ in range(300):
        deep = deep / "d"
    write(deep / "9.png")
    assert len(load_dataset("imagefolder", root).train) == 5


def test_the_files_of_a_folder(root):
    (root / "notes.txt").touch()
    (root / "val" / "dog" / "loop").symlink_to(root)
    found = Listing()
    files = list_folder(root, [".png"], found)
    assert files == sorted(root.glob("*/*/*.png"))
    assert len(files) == 8
    assert in_words(found.left_out()) == "left out 2: 1 link loop (val/dog/loop/), 1 of other kinds (.txt)"
