import contextlib

from trevsnn.training.files import atomic_path, write_text


def test_old_file_stays_when_writing_fails(tmp_path):
    path = tmp_path / "file"
    write_text(path, "old")
    with contextlib.suppress(KeyboardInterrupt), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_new_file_replaces_the_old(tmp_path):
    path = tmp_path / "file"
    write_text(path, "old")
    write_text(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_an_interrupted_write_left_is_no_obstacle(tmp_path):
    path = tmp_path / "file"
    (tmp_path / ".file.tmp").write_text("half of something longer")
    write_text(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
