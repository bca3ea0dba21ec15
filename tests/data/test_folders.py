"""Class folders and tar shards, written as real files."""

import io
import json
import os
import tarfile

import numpy as np
import pytest
from PIL import Image

from trevsnn.data import BadImageError, load_dataset
from trevsnn.data.inventory import describe_data


def write(path, value, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (6, 5), value).convert(mode).save(path)


def brightness(samples, index):
    return int(np.array(samples.open(index, 1))[0, 0])


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "data"
    for split, count in (("train", 4), ("val", 2)):
        for label, name in enumerate(("b a r", "foo")):
            for i in range(count):
                write(root / split / name / f"{i}.png", 100 * label + i)
    return root


@pytest.fixture
def shards(tmp_path):
    root = tmp_path / "shards"
    for split, sizes in (("train", (3, 2)), ("val", (2,))):
        number = 0
        for shard, size in enumerate(sizes):
            (root / split).mkdir(parents=True, exist_ok=True)
            with tarfile.open(root / split / f"{split}-{shard:03}.tar", "w") as tar:
                for _ in range(size):
                    picture = io.BytesIO()
                    Image.new("L", (6, 5), 10 * number).save(picture, format="PNG")
                    add(tar, f"dir/{number:04}.png", picture.getvalue())
                    add(tar, f"dir/{number:04}.cls", str(number % 2).encode())
                    number += 1
    return root


def add(tar, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def test_classes_are_folders_in_order(folder):
    (folder / "train" / ".cache").mkdir()
    (folder / "train" / "foo" / "notes.txt").write_text("no image")
    (folder / "train" / "foo" / "._0.png").write_text("left by a Mac")
    dataset = load_dataset("imagefolder", folder)
    assert dataset.class_names == ("b a r", "foo")
    assert dataset.train.labels.tolist() == [0] * 4 + [1] * 4
    assert dataset.test.labels.tolist() == [0] * 2 + [1] * 2
    assert [brightness(dataset.train, i) for i in range(8)] == [0, 1, 2, 3, 100, 101, 102, 103]


def test_names_and_depth_of_files_do_not_matter(folder):
    write(folder / "train" / "foo" / "deeper" / "Ünïcode é.JPEG", 30)
    os.symlink(folder / "val" / "foo", folder / "train" / "foo" / "linked")
    dataset = load_dataset("imagefolder", folder)
    assert dataset.train.labels.tolist() == [0] * 4 + [1] * 7
    assert 30 in [brightness(dataset.train, i) for i in range(11)]


def test_one_folder_is_split_by_class(folder):
    dataset = load_dataset("imagefolder", folder / "train", 0.25)
    assert (len(dataset.train), len(dataset.test)) == (6, 2)
    assert dataset.test.labels.tolist() == [0, 1]
    values = [brightness(part, i) for part in (dataset.train, dataset.test) for i in range(len(part))]
    assert sorted(values) == [0, 1, 2, 3, 100, 101, 102, 103]
    again = load_dataset("imagefolder", folder / "train", 0.25)
    assert again.test.indices.tolist() == dataset.test.indices.tolist()


def test_only_images_to_test_on(folder):
    for root in (folder / "val", folder):
        if root == folder:
            (folder / "train").rename(folder.parent / "away")
        dataset = load_dataset("imagefolder", root)
        assert dataset.train is None
        assert len(dataset.test) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda root: (root / "val" / "foo").rename(root / "val" / "zoo"),
            "only to train on: foo; only to test on: zoo",
        ),
        (lambda root: (root / "train" / "empty").mkdir(), r"empty' holds no file of the right kind \(\.jpg"),
        (lambda root: (root / "val").rename(root.parent / "val"), r"has train/ but no val/; .*--val-split 0\.1"),
        (lambda root: (root / "val" / "x.tar").touch(), "use `webdataset`"),
    ],
)
def test_folders_that_do_not_fit_are_named(folder, change, message):
    change(folder)
    with pytest.raises(ValueError, match=message):
        load_dataset("imagefolder", folder)


def test_places_that_are_none(folder, tmp_path):
    with pytest.raises(ValueError, match=r"'.*nowhere' does not exist"):
        load_dataset("imagefolder", tmp_path / "nowhere")
    with pytest.raises(ValueError, match="is not a folder"):
        load_dataset("imagefolder", folder / "val" / "foo" / "0.png")
    with pytest.raises(ValueError, match="has no class folders"):
        load_dataset("imagefolder", folder / "val" / "foo")
    with pytest.raises(ValueError, match="has val/ to test on; leave --val-split out"):
        load_dataset("imagefolder", folder, 0.1)
    for share in (0, 1, -0.5):
        with pytest.raises(ValueError, match=f"val_split={share} must be more than 0"):
            load_dataset("imagefolder", folder / "train", share)
    write(folder / "one" / "a" / "0.png", 0)
    with pytest.raises(ValueError, match="a class of 1 image cannot be split"):
        load_dataset("imagefolder", folder / "one", 0.5)


def test_a_damaged_file_is_named(folder):
    (folder / "train" / "foo" / "1.png").write_bytes(b"")
    (folder / "train" / "foo" / "2.png").unlink()
    (folder / "train" / "foo" / "2.png").symlink_to("nowhere")
    (folder / "train" / "foo" / "3.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    dataset = load_dataset("imagefolder", folder)
    assert describe_data(dataset).endswith("left out 1: 1 dead link (train/foo/2.png)")
    for index, name in ((5, "1.png' is not an image that can be read: it is empty"), (6, "3.png' is not an image")):
        with pytest.raises(BadImageError, match=rf"train/foo/{name}"):
            dataset.train.open(index, 3)


def test_shards_are_read_at_any_place(shards):
    dataset = load_dataset("webdataset", shards)
    assert dataset.class_names == ("0", "1")
    assert dataset.train.group_sizes() == [3, 2]
    assert dataset.train.labels.tolist() == [0, 1, 0, 1, 0]
    assert [brightness(dataset.train, i) for i in (4, 0, 3, 2, 1)] == [40, 0, 30, 20, 10]
    assert len(dataset.test) == 2


def test_shards_without_a_split_of_their_own(shards):
    dataset = load_dataset("webdataset", shards / "train", 0.4)
    assert sorted(dataset.train.labels.tolist() + dataset.test.labels.tolist()) == [0, 0, 0, 1, 1]
    assert sum(dataset.train.group_sizes()) == len(dataset.train) == 3
    values = [brightness(part, i) for part in (dataset.train, dataset.test) for i in range(len(part))]
    assert sorted(values) == [0, 10, 20, 30, 40]


def test_names_of_the_classes_of_shards(shards):
    (shards / "classnames.txt").write_text("cat\ndog\nunused\n")
    assert load_dataset("webdataset", shards).class_names == ("cat", "dog", "unused")


def test_classes_of_shards_as_words_or_json(tmp_path):
    picture = io.BytesIO()
    Image.new("L", (6, 5)).save(picture, format="JPEG")
    for name, contents in {
        "words": [b"dog", b"cat"],
        "json": [{"label": 1}, {"label": 0, "w": 3}],
    }.items():
        (tmp_path / name).mkdir()
        with tarfile.open(tmp_path / name / "a.tar", "w") as tar:
            for i, content in enumerate(contents):
                add(tar, f"{i}.jpg", picture.getvalue())
                if isinstance(content, bytes):
                    add(tar, f"{i}.cls", content)
                else:
                    add(tar, f"{i}.json", json.dumps(content).encode())
        dataset = load_dataset("webdataset", tmp_path / name)
        assert dataset.test.labels.tolist() == [1, 0]
        names = {"words": ("cat", "dog"), "json": ("0", "1")}
        assert dataset.class_names == names[name]
        assert not dataset.in_memory, "files are read by other processes"


def test_shards_that_do_not_fit_are_named(shards, tmp_path):
    with tarfile.open(shards / "val" / "extra.tar", "w") as tar:
        add(tar, "lonely.png", b"x")
    with pytest.raises(ValueError, match=r"extra\.tar' has no class for 'lonely\.png': lonely\.cls is missing"):
        load_dataset("webdataset", shards)
    (shards / "val" / "extra.tar").write_bytes(b"not a tar file" * 100)
    with pytest.raises(ValueError, match=r"extra\.tar' is damaged or cut off \(invalid header\); copy it again"):
        load_dataset("webdataset", shards)
    (shards / "val" / "extra.tar").unlink()
    (shards / "classnames.txt").write_text("one\n")
    with pytest.raises(ValueError, match=r"classnames\.txt' names 1 classes, the shards have 2"):
        load_dataset("webdataset", shards)
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match=r"holds no \.tar shards"):
        load_dataset("webdataset", tmp_path / "none")


def test_a_damaged_image_in_a_shard_is_named(shards):
    dataset = load_dataset("webdataset", shards)
    shard = shards / "train" / "train-001.tar"
    content = shard.read_bytes()
    shard.write_bytes(content.replace(b"PNG", b"PMG"))
    with pytest.raises(BadImageError, match=r"train-001\.tar: dir/0003\.png' is not an image"):
        dataset.train.open(3, 3)
    shard.unlink()
    with pytest.raises(BadImageError, match=r"train-001\.tar: dir/0003\.png' cannot be read: No such file"):
        dataset.train.open(3, 3)
