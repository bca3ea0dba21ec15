import contextlib
import re
from pathlib import Path

import pytest

from trevsnn._util.files import atomic_path, in_words, read_text, write_text


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


def test_a_link_is_followed_and_a_device_written_to(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_text(tmp_path / "link", "text")
    assert (tmp_path / "target").read_text() == "text"
    assert (tmp_path / "link").is_symlink()
    write_text(Path("/dev/null"), "text")
    assert Path("/dev/null").is_char_device()


def test_what_an_interrupted_write_left_is_no_obstacle(tmp_path):
    path = tmp_path / "file"
    (tmp_path / ".file.tmp").write_text("half of something longer")
    write_text(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


WORDS = "größe = 3\nname = 'naïve'\n"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252"])
def test_text_of_any_system(tmp_path, encoding, end):
    (tmp_path / "f").write_bytes(WORDS.replace("\n", end).encode(encoding))
    assert read_text(tmp_path / "f") == WORDS


@pytest.mark.parametrize("content", [b"", b"\xff", b"\x81\x8d", b"\xff\xfea", b"\0", bytes(range(256))], ids=repr)
def test_no_content_is_refused(tmp_path, content):
    (tmp_path / "f").write_bytes(content)
    assert isinstance(read_text(tmp_path / "f"), str)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            OSError(28, "No space left on device"),
            r"No space left on device; make room, or write elsewhere, .*--output .*",
        ),
        (OSError(30, "Read-only", "/run/.data.json.tmp"), r"'/run/data\.json': Read-only; write elsewhere, .*"),
        (
            OSError(13, "Permission denied", b"/run/x"),
            r"'/run/x': Permission denied; give this user the right to, or .*",
        ),
        (FileNotFoundError(2, "No such file", f".f.npz.{'0a' * 16}.tmp"), r"'f\.npz': No such file"),
        (OSError("in our words"), "in our words"),
        (OSError(28, "opened by number", 3), "opened by number; make room.*"),
    ],
    ids=range(6),
)
def test_errors_of_the_system_name_file_and_way_out(error, words):
    assert re.fullmatch(words, in_words(error))
