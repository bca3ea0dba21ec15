"""What a file is, by its content: for messages about one that was given in place of weights."""

import json
import re
import shlex
import zipfile
from dataclasses import dataclass
from pathlib import Path

from trevsnn._util.files import read_text
from trevsnn._util.toml import parse_toml

_HEAD = 4096
_LONGEST_TEXT = 1_000_000
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
"""How PyTorch's files before 1.6 begin: a pickled magic number."""
_BEGINNINGS = (
    (b"\x89PNG\r\n", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"GGUF", "a GGUF file"),
    (b"%PDF", "a PDF file"),
)
_PACKED = ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"))


@dataclass(frozen=True)
class FileKind:
    """What a file is, and what to do with it."""

    name: str
    """A word for programs."""
    words: str
    """Goes on after the name of the file."""

    def __str__(self) -> str:
        return self.words


def describe_file(path: Path) -> FileKind:
    """What a file is that was given for weights; only its beginning, or its table of contents, is read.

    Raises:
        OSError: when it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if (kind := stand_in(head)) is not None:
        return kind
    if (b"\0" not in head or head.startswith((b"\xff\xfe", b"\xfe\xff"))) and (kind := _text_kind(path)):
        return kind
    if _is_safetensors(head, path):
        return FileKind(
            "safetensors",
            "is a safetensors file that trevsnn did not write; if its weights are those of the authors' public code: "
            f"trevsnn convert {shlex.quote(str(path))} OUT.safetensors",
        )
    if head.startswith(b"PK"):
        return _zip_kind(path)
    if head.startswith(_LEGACY) or re.match(rb"\x80[\x02-\x05]", head):
        return _checkpoint(path)
    for beginning, what in _BEGINNINGS:
        if head.startswith(beginning):
            return FileKind("other", f"is {what}, not weights")
    for beginning, what in _PACKED:
        if head.startswith(beginning):
            return FileKind("packed", f"is packed with {what}; unpack it first")
    if head[257:262] == b"ustar":  # Python's own test reads headers of any length
        return FileKind("tar", "is a tar archive; unpack it and give the file within (see trevsnn convert)")
    if path.suffix == ".onnx" or re.match(rb"\x08[\x01-\x20]\x12.(pytorch|onnx|trevsnn|tf|keras)", head, re.DOTALL):
        return FileKind(
            "onnx", "is an ONNX graph, from which no training or folding starts; give the run that it was exported from"
        )
    return FileKind("unknown", "is cut off or no safetensors file")


def stand_in(head: bytes) -> FileKind | None:
    """What lies in place of a file that did not come, by its beginning; None where nothing says so."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        return FileKind("empty", "is an empty file; copy or download it again")
    if head.startswith(b"version https://git-lfs"):
        return FileKind("lfs", "is a pointer of Git LFS, not the file itself; fetch it with: git lfs pull")
    if text.startswith((b"<!doctype html", b"<html", b"<head")):
        return FileKind("html", "is an HTML page, not what its link should have led to; download the file itself")
    if text.startswith(b"<?xml"):
        return FileKind("xml", "is an XML text, an error message of the server perhaps; download the file again")
    return None


def _text_kind(path: Path) -> FileKind | None:
    if path.stat().st_size > _LONGEST_TEXT:
        return None
    text = read_text(path)
    if text.lstrip().startswith("{"):
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return None
        return FileKind("json", "is a JSON file, not weights; give the folder that it is in, or its weights file")
    try:
        settings = parse_toml(text)
    except ValueError:
        return None
    if not settings:
        return None
    return FileKind("toml", "is a file of settings, not weights; give the run folder that it is in, or --recipe")


def _is_safetensors(head: bytes, path: Path) -> bool:
    size = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and 2 <= size <= path.stat().st_size - 8


def _zip_kind(path: Path) -> FileKind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):
        return FileKind("cut", "is cut off: a PyTorch checkpoint or zip archive without its end; copy it again")
    inner = {name.split("/", 1)[-1] for name in names}
    if "constants.pkl" in inner:
        return FileKind(
            "torchscript",
            "is a TorchScript module; save the weights alone, torch.save(torch.jit.load(FILE).state_dict(), NEW), and "
            "give them to trevsnn convert",
        )
    if "data.pkl" in inner:
        return _checkpoint(path)
    if names and all(name.endswith(".npy") for name in names):
        return FileKind("other", "is a file of NumPy arrays, not weights")
    return FileKind("zip", "is a zip archive; unpack it and give the file within (see trevsnn convert)")


def _checkpoint(path: Path) -> FileKind:
    run = path.absolute().parent.parent
    if re.fullmatch(r"step-\d+\.pt(\.damaged)?", path.name) and (run / "config.toml").is_file():
        return FileKind(
            "state",
            f"is the state of a run, which goes on with --resume {shlex.quote(str(run))}; to start "
            "from its weights, give the run folder",
        )
    return FileKind(
        "checkpoint",
        "is a PyTorch checkpoint; if its weights are those of the authors' public code, make a weights file of it: "
        f"trevsnn convert {shlex.quote(str(path))} OUT.safetensors",
    )
