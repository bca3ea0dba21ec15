"""Shards whose contents are not all plain samples: followed, refused by name, or counted."""

import gzip
import io
import json
import tarfile

import pytest
from PIL import Image

from trevsnn.data import describe_data, load_dataset


def picture(value=0, kind="PNG"):
    file = io.BytesIO()
    Image.new("L", (3, 3), value).save(file, kind)
    return file.getvalue()


def add(tar, name, content=b"", kind=tarfile.REGTYPE, target=""):
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = len(content), kind, target
    tar.addfile(member, io.BytesIO(content))


def add_sample(tar, key, label="0", value=0):
    add(tar, f"{key}.png", picture(value))
    add(tar, f"{key}.cls", label if isinstance(label, bytes) else label.encode())


@pytest.fixture
def shard(tmp_path):
    """A shard of two samples, open to be added to; `load` closes it and reads the folder."""

    class Shard:
        folder = tmp_path

        def __init__(self):
            self.tar = tarfile.open(tmp_path / "a.tar", "w")  # noqa: SIM115
            add_sample(self.tar, "0", "0")
            add_sample(self.tar, "1", "1")

        def load(self):
            self.tar.close()
            return load_dataset("webdataset", tmp_path)

    return Shard()


def left_out(data):
    return {part.why: part.names for part in data.inventory.left_out}


def test_links_are_followed(shard):
    add_sample(shard.tar, "dir/2", "1", 70)
    add(shard.tar, "3.png", kind=tarfile.LNKTYPE, target="dir/2.png")
    add(shard.tar, "3.cls", b"0")
    add(shard.tar, "dir/4.png", kind=tarfile.SYMTYPE, target="../3.png")
    add(shard.tar, "dir/4.cls", kind=tarfile.LNKTYPE, target="3.cls")
    add(shard.tar, "5.png", kind=tarfile.SYMTYPE, target="gone.png")
    add(shard.tar, "5.cls", b"0")
    add(shard.tar, "6.png", kind=tarfile.SYMTYPE, target="7.png")
    add(shard.tar, "6.cls", b"0")
    add(shard.tar, "7.png", kind=tarfile.SYMTYPE, target="6.png")
    add(shard.tar, "7.cls", b"0")
    data = shard.load()
    assert data.test.labels.tolist() == [0, 1, 1, 0, 0]
    assert [data.test.open(i, 1).getpixel((0, 0)) for i in (2, 3, 4)] == [70, 70, 70]
    assert left_out(data) == {"dead links": ("a.tar/5.png", "a.tar/6.png", "a.tar/7.png")}


def test_what_is_left_out_is_told(shard):
    for name in ("0.seg.png", "1.txt", "README", "8.cls", "9.json", "._0.png", "__MACOSX/0.png"):
        add(shard.tar, name, b"{}" if name.endswith("json") else b"1")
    add(shard.tar, "pipe.png", kind=tarfile.FIFOTYPE)
    (shard.folder / "a.tar.gz").touch()
    (shard.folder / "index.json").touch()
    (shard.folder / "more").mkdir()
    data = shard.load()
    assert len(data.test) == 2
    assert left_out(data) == {
        "other fields of samples": ("a.tar/0.seg.png", "a.tar/1.txt"),
        "of other kinds": ("a.tar/9.json", "a.tar/README", "index.json"),
        "folders": ("more/",),
        "classes without a picture": ("a.tar/8.cls",),
        "hidden": ("a.tar/._0.png",),
        "of the system": ("a.tar/__MACOSX/0.png",),
        "neither files nor folders": ("a.tar/pipe.png",),
        "compressed copies of shards": ("a.tar.gz",),
    }
    assert "left out 11: 3 of other kinds (.json, no extension), 2 other fields of samples (" in describe_data(data)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["photo.1.png", "photo.1.cls"], r"'photo\.1\.png', whose key would end at its first dot, 'photo'"),
        (["0.5.png", "0.5.cls"], r"'0\.5\.png', whose key would end at its first dot, '0'"),
        (["2.png", "2.jpg", "2.cls"], r"several pictures of the key '2', '2\.png', '2\.jpg': keep one"),
        (["0.png", "0.cls"], r"'0\.png' is there twice; write the shard anew"),
        (["./1.png"], r"'\./1\.png' is there twice"),
        (["2.png"], r"no class for '2\.png': 2\.cls is missing"),
    ],
)
def test_what_is_ambiguous_is_refused(shard, names, message):
    for name in names:
        add(shard.tar, name, b"0" if name.endswith("cls") else picture())
    with pytest.raises(ValueError, match=message):
        shard.load()


def test_two_files_joined_are_refused(shard):
    shard.tar.close()
    whole = (shard.folder / "a.tar").read_bytes()
    (shard.folder / "a.tar").write_bytes(whole + whole)
    with pytest.raises(ValueError, match=r"has ended, but more follows, perhaps another shard at byte 4,096"):
        shard.load()
    (shard.folder / "a.tar").write_bytes(whole[:2048] + b"X" + whole[2049:])
    with pytest.raises(ValueError, match="it is damaged or cut off at byte 2,048"):
        shard.load()
    (shard.folder / "a.tar").write_bytes(whole[:4096])
    assert "shard a.tar has no end mark and may be cut off" in describe_data(shard.load())


def test_a_member_longer_than_the_file_is_refused(shard):
    shard.tar.close()
    path = shard.folder / "a.tar"
    for size in (2**40, 2**80, -5):
        member = tarfile.TarInfo("2.cls")
        member.size = size
        path.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
        with pytest.raises(ValueError, match=r"a\.tar' cannot be read: '2\.cls' is longer than the rest of it"):
            load_dataset("webdataset", shard.folder)


@pytest.mark.parametrize("name", ["b.tar.gz", "b.tgz", "b.TAR.zst"])
def test_compressed_shards_alone_are_refused(shard, name):
    (shard.folder / name).touch()
    with pytest.raises(ValueError, match=f"compressed shards, {name}, which cannot be read at any place: unpack them"):
        shard.load()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"a tar"), r"b\.tar' is packed with gzip; unpack it first"),
        (b"version https://git-lfs.github.com/spec/v1\n", r"b\.tar' is a pointer of Git LFS"),
        (b"", r"b\.tar' is an empty file; copy or download it again"),
        (b"no tar" * 100, r"b\.tar' is damaged or cut off \(invalid header\); copy it again"),
    ],
    ids=["gzip", "lfs", "empty", "text"],
)
def test_what_lies_in_place_of_a_shard_is_named(shard, content, message):
    (shard.folder / "b.tar").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        shard.load()


def test_no_shard_is_listed_twice(shard):
    shard.tar.close()
    (shard.folder / "A.tar").symlink_to("a.tar")
    (shard.folder / "b.tar").hardlink_to(shard.folder / "a.tar")
    data = load_dataset("webdataset", shard.folder)
    assert (len(data.test), left_out(data)) == (2, {"links to shards that are listed already": ("A.tar", "b.tar")})
    root = shard.folder / "root"
    for split in ("train", "val"):
        (root / split).mkdir(parents=True)
        (root / split / "x.tar").symlink_to(shard.folder / "a.tar")
    assert describe_data(load_dataset("webdataset", root)).endswith("; 1 shard is both to train and to test on")


def test_shards_that_hold_no_pictures_are_named(shard):
    tarfile.open(shard.folder / "b.tar", "w").close()
    assert left_out(shard.load()) == {"shards without a picture": ("b.tar",)}
    (shard.folder / "a.tar").rename(shard.folder / "a.bak")
    (shard.folder / "b.tar").unlink()
    with pytest.raises(ValueError, match=r"holds no \.tar shards but 1 of other kinds \(\.bak\): give the folder"):
        load_dataset("webdataset", shard.folder)


def test_shards_of_any_spelling(shard):
    shard.tar.close()
    (shard.folder / "a.tar").rename(shard.folder / "A.TAR")
    (shard.folder / "._A.TAR").write_bytes(b"of a Mac")
    data = load_dataset("webdataset", shard.folder)
    assert (len(data.test), left_out(data)) == (2, {"hidden": ("._A.TAR",)})
    (shard.folder / "b.tar").symlink_to("nowhere")
    with pytest.raises(ValueError, match=r"b\.tar' is a dead link"):
        load_dataset("webdataset", shard.folder)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_classes_whatever_system_wrote_them(tmp_path, encoding):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add_sample(tar, "0", "größe \r\n".encode(encoding))
        add_sample(tar, "1", "größe".encode())
        add(tar, "2.png", picture())
        add(tar, "2.json", json.dumps({"label": "wärme"}, ensure_ascii=False).encode(encoding))
    data = load_dataset("webdataset", tmp_path)
    assert (data.class_names, data.test.labels.tolist()) == (("größe", "wärme"), [0, 0, 1])


def test_json_matters_only_where_it_is_needed(shard):
    add_sample(shard.tar, "2", "1")
    add(shard.tar, "2.json", b"{")
    assert shard.load().test.labels.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", r"the class in '2\.json' cannot be read"),
        (b'{"label": [1]}', r"the label \[1\] is neither number nor name"),
        (b'{"label": " "}', "it is empty"),
        (b'{"label": "' + b"9" * 5000 + b'"}', r"999999999999999999\.\.\. has 5,000 digits"),
        (b'{"label": 1, "": "' + b" " * 2**20 + b'"}', "more than 1,048,576 bytes are too many"),
        (b'{"label": "cat"}', "has classes 0, 1 and cat: give numbers from 0 on to all of them, or names"),
        (b'{"label": -1}', "has classes -1, 0, 1: give numbers"),
        (b'{"label": 100000}', "has a class of number 100,000 and 3 images; number classes from 0 on"),
    ],
)
def test_classes_that_are_none(shard, content, message):
    add(shard.tar, "2.png", picture())
    add(shard.tar, "2.json", content)
    with pytest.raises(ValueError, match=message):
        shard.load()


def test_names_of_classes(shard):
    names = shard.folder / "classnames.txt"
    names.write_bytes("crane\r\nmaillot \r\ncrane\r\n\r\n".encode("utf-16"))
    data = shard.load()
    assert data.class_names == ("crane (0)", "maillot", "crane (2)")
    line = describe_data(data)
    assert "several classes called crane, each has its number" in line
    assert "nothing to test on in 1 class (crane (2))" in line
    assert not data.inventory.left_out
    names.write_text("a\n\nb\n")
    with pytest.raises(ValueError, match=r"classnames\.txt' has an empty line 2"):
        load_dataset("webdataset", shard.folder)
