"""What was given in place of weights is said, with a way out."""

import gzip
import io
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from trevsnn import TRevSNN, create_model
from trevsnn.models import save_weights, weights_file
from trevsnn.models.file_kind import describe_file

WHOLE = torch.arange(5000.0)


def zipped(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return buffer.getvalue()


def saved(value, **options):
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def tar():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("weights.pth"))
    return buffer.getvalue()


def array():
    buffer = io.BytesIO()
    np.savez(buffer, x=np.zeros(3))
    return buffer.getvalue()


CHECKPOINT = r"is a PyTorch checkpoint; .*: trevsnn convert .*given\.file OUT\.safetensors"
GIVEN = {
    "empty": (b"", "is an empty file"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "is a pointer of Git LFS"),
    "html": (b"\xef\xbb\xbf\n<!DOCTYPE html><html>404</html>", "is an HTML page"),
    "xml": (b'<?xml version="1.0"?><Error>AccessDenied</Error>', "is an XML text"),
    "json": (b'{"architectures": []}', "is a JSON file"),
    "toml": (b'dataset = "digits"\nepochs = 3\n', "is a file of settings"),
    "checkpoint": (saved({"model": WHOLE}), CHECKPOINT),
    "legacy": (saved({"model": WHOLE}, _use_new_zipfile_serialization=False), CHECKPOINT),
    "cut": (saved({"model": WHOLE})[:9000], "is cut off: a PyTorch checkpoint or zip archive without its end"),
    "zip": (zipped("a.txt"), "is a zip archive; unpack it"),
    "torchscript": (zipped("m/data.pkl", "m/constants.pkl"), "is a TorchScript module"),
    "tar": (tar(), "is a tar archive"),
    "gzip": (gzip.compress(b"weights"), "is packed with gzip"),
    "arrays": (array(), "is a file of NumPy arrays"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(90), "is an HDF5 file"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(90), "is a picture"),
    "onnx": (b"\x08\x0a\x12\x07pytorch" + bytes(90), "is an ONNX graph"),
    "noise": (bytes(range(200, 256)) * 9, "is cut off or no safetensors file"),
    "text": (b"hello", "is cut off or no safetensors file"),
}


@pytest.mark.parametrize("kind", GIVEN)
def test_what_was_given_is_said(tmp_path, kind):
    content, message = GIVEN[kind]
    file = tmp_path / "given.file"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"given\.file' {message}") as error:
        create_model("trevsnn_digits", checkpoint=file)
    assert "\n" not in str(error.value)


def test_weights_of_others(tmp_path):
    save_file({"weight": torch.zeros(3)}, tmp_path / "theirs.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"was not written by trevsnn: it is a safetensors file .*: trevsnn convert"):
        create_model("trevsnn_digits", checkpoint=tmp_path / "theirs.safetensors")


def test_the_state_of_a_run_says_how_it_goes_on(tmp_path):
    state = tmp_path / "run" / "checkpoints" / "step-0000000003.pt"
    state.parent.mkdir(parents=True)
    state.write_bytes(GIVEN["checkpoint"][0])
    assert describe_file(state).name == "checkpoint"
    (tmp_path / "run" / "config.toml").touch()
    with pytest.raises(ValueError, match=r"is the state of a run, which goes on with --resume .*run; to start from"):
        create_model("trevsnn_digits", checkpoint=state)


def test_folders(tmp_path):
    """Of a run, of a download, above or below one of them, and any other."""
    model = create_model("trevsnn_digits", channels=(4, 4, 8, 8), timesteps=1).eval()
    run = tmp_path / "runs" / "mine"
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.toml").touch()
    with pytest.raises(ValueError, match="has not finished an epoch; continue it with --resume"):
        create_model("trevsnn_digits", checkpoint=run)
    save_weights(model, run / "model.safetensors", model.described())
    for loaded in (create_model("trevsnn_digits", checkpoint=run), TRevSNN.from_pretrained(run / "model.safetensors")):
        assert all(torch.equal(p, q) for p, q in zip(model.parameters(), loaded.parameters(), strict=True))
    for near in (run.parent, run / "checkpoints"):
        with pytest.raises(
            ValueError, match=r"is not a run folder: it has no model\.safetensors; did you mean .*mine'"
        ):
            weights_file(near)
    hub = tmp_path / "models--someone--network"
    shutil.copytree(run, hub / "snapshots" / "0a1b")
    with pytest.raises(ValueError, match=r"did you mean .*snapshots/0a1b'"):
        weights_file(hub)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "pytorch_model.bin").touch()
    with pytest.raises(ValueError, match=r"give a file in it, 'pytorch_model\.bin' for example"):
        weights_file(tmp_path / "theirs")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(ValueError, match="link' is a dead link"):
        weights_file(tmp_path / "link")
