"""Weights files of ours, and checkpoints as PyTorch writes them."""

import io
import json
import pickle
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from fuzzing.mutation import NUMBERS, deep_text, havoc, odd_value
from fuzzing.reader import Reader
from PIL import Image
from torch import Tensor

from trevsnn.cli.convert import convert
from trevsnn.cli.open_run import load_trained
from trevsnn.data import FramePreprocessing, Preprocessing, load_dataset
from trevsnn.data.splitting import spread
from trevsnn.models import TRevSNN, create_model, save_weights, weights_info
from trevsnn.models.official import official_name
from trevsnn.models.weights import read_weights_info
from trevsnn.training import run_state
from trevsnn.training.config import TrainConfig
from trevsnn.training.learner import Learner
from trevsnn.training.run_folder import RunFolder
from trevsnn.training.run_state import RunState

SMALL: dict[str, Any] = {"channels": (2, 2), "timesteps": 1, "num_classes": 2, "aux_heads": False}


@cache
def _network() -> TRevSNN:
    model = create_model("trevsnn_digits", **SMALL)
    assert isinstance(model, TRevSNN)
    return model


@cache
def _weights() -> list[bytes]:
    model, clips = _network(), create_model("trevsnn_dvs", channels=(2, 2), timesteps=2, num_classes=2)
    images = asdict(Preprocessing(input_size=(1, 32, 32), native_size=(8, 8)))
    frames = asdict(FramePreprocessing(input_size=(2, 16, 16), sensor_size=(34, 34), timesteps=2))
    about = {"dataset": "digits", "class_names": ("a", "b"), "note": "epoch 1 of 1"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.safetensors"
        found = []
        for name, network, more in (
            ("trevsnn_digits", model, {**about, "preprocessing": images}),
            ("trevsnn_dvs", clips, {"preprocessing": frames}),
            ("trevsnn_digits", model.fold(), {"preprocessing": images, "folded": True}),
        ):
            save_weights(network, path, weights_info(name, network.config, **more))
            found.append(path.read_bytes())
    return found


def _parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def _odd_safetensors(random: Random, data: bytes) -> bytes:
    """A header of safetensors that says something else, of a right length."""
    header, tensors = _parts(data)
    about = header.get("__metadata__", {})
    what = random.randrange(8)
    if what <= 2 and about:
        name = random.choice(("options", "options", "options", "class_names", "preprocessing"))
        value = odd_value(random, json.loads(about.get(name, "null")))
        about[name] = json.dumps(value)
        if random.random() < 0.1:
            about[name] = deep_text(random, "[", "]").decode()
    elif what == 3 and about:
        name = random.choice(list(about))
        about[name] = random.choice(
            ("", "null", "trevsnn_tiny", "ms_resnet_digits", "sdt_512", "2", "true", "x" * 5000)
        )
    elif what == 4:
        header = odd_value(random, header)
    elif what == 5:
        name = random.choice([name for name in header if name != "__metadata__"])
        entry = header[name]
        entry["dtype"] = random.choice(("F16", "BF16", "F64", "I64", "U8", "BOOL", "F8_E4M3", "C64", "F4", "X"))
    elif what == 6:
        name = random.choice([name for name in header if name != "__metadata__"])
        entry = header[name]
        entry["shape"] = random.choice((entry["shape"][::-1], [], [*entry["shape"], 1], [random.choice(NUMBERS)], [0]))
    else:
        tensors = havoc(random, tensors)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + tensors


# Checkpoints


@cache
def _official() -> dict[str, Tensor]:
    model = _network()
    state = {official_name(name, model.config): value for name, value in model.state_dict().items()}
    for name, value in state.items():
        if "alpha" in name or name.endswith("gamma"):
            state[name] = value.reshape(1, -1, 1, 1)
    return state


def saved(value: object, **more: Any) -> bytes:
    """As PyTorch writes it."""
    file = io.BytesIO()
    torch.save(value, file, **more)
    return file.getvalue()


@cache
def _checkpoints() -> list[bytes]:
    state = _official()
    return [
        saved(state),
        saved({"model": {f"module.{name}": value for name, value in state.items()}, "epoch": 3}),
        saved(state, _use_new_zipfile_serialization=False),
    ]


def _odd_tensor(random: Random, like: Tensor) -> object:
    what = random.randrange(16)
    odd = (
        lambda: like.to(random.choice((torch.float64, torch.float16, torch.int64, torch.bool, torch.complex64))),
        lambda: like.to_sparse(),
        lambda: like.to("meta"),
        lambda: torch.zeros(1).expand(random.choice(((10**9,), (1, 10**9, 1, 1), (10**5, 10**5), (2, 2, 2, 2)))),
        lambda: torch.zeros(random.choice(((), (0,), (1,), (1, 1, 1, 1), (0, 4, 1, 1), (5,)))),
        lambda: torch.full_like(like, random.choice((float("nan"), float("inf"), 1e38)), dtype=torch.float32),
        lambda: torch.quantize_per_tensor(like.float(), 0.1, 0, torch.qint8),
        lambda: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
        lambda: like.numpy(),
        lambda: random.choice((None, 1, "text", [like], {"a": like}, 10**400, 1.5, Path("x"), np.float32(1))),
        lambda: torch.nn.Parameter(like.float()),
        lambda: like.to(torch.float8_e4m3fn),
        lambda: like.T if like.dim() == 2 else like.reshape(-1),
        lambda: like.unsqueeze(0),
        lambda: like.to_mkldnn() if like.dtype == torch.float32 else like,
        lambda: {like: like},
    )
    return odd[what]()


def _odd_checkpoint(random: Random, data: bytes) -> bytes:
    """A checkpoint of which entries are missing, new, of another name, or not what they should be."""
    state: dict[Any, Any] = dict(_official())
    for _ in range(random.choice((1, 1, 2))):
        name = random.choice(list(state))
        what = random.randrange(6)
        if what == 0:
            del state[name]
        elif what == 1:
            odd = (name + "x", name.replace("0", str(random.choice(NUMBERS))), "", 5, None, ("a", 1), "subnet1.alpha0")
            state[random.choice(odd)] = state.pop(name)
        elif isinstance(state[name], Tensor):
            state[name] = _odd_tensor(random, state[name])
    wrapped = (
        lambda: state,
        lambda: {"model": state},
        lambda: {"state_dict_ema": {}, "model": state},
        lambda: {"model": {"model": state}},
        lambda: [state],
        lambda: {"state_dict": odd_value(random, {"a": 1})},
        lambda: None,
    )
    value = random.choices(wrapped, (8, 4, 1, 1, 1, 1, 1))[0]()
    if random.random() < 0.1:
        return pickle.dumps(value)
    return _repickled(random, saved(value, _use_new_zipfile_serialization=random.random() < 0.8))


def _repickled(random: Random, data: bytes) -> bytes:
    """Now and then, the records of a zip file changed, with right sums."""
    if random.random() < 0.7 or not zipfile.is_zipfile(io.BytesIO(data)):
        return data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    name = random.choice((next(iter(members)), random.choice(list(members))))
    members[name] = havoc(random, members[name])
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def _convert(path: Path) -> None:
    """As `trevsnn convert`, which also looks, slowly, for a name with that many channels."""
    with patch("trevsnn.cli.convert.list_models", return_value=[]), redirect_stdout(io.StringIO()):
        convert(path, path.with_suffix(".safetensors"))


# Training states


@cache
def _run_state() -> RunState:
    """Of a run that has not begun."""
    config = TrainConfig(channels=(2, 2), timesteps=1, batch_size=8, epochs=2, warmup_epochs=0, device="cpu", workers=0)
    data = load_dataset("digits")
    assert data.train is not None, "it has a split of its own"
    data = replace(data, train=spread(data.train, 8), test=spread(data.test, 2))
    return RunState(Learner(config, data), data, RunFolder("nowhere"))


@cache
def _states() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        state = _run_state()
        state.folder = RunFolder(folder)
        state.folder.checkpoints.mkdir()
        state.save()
        return [file.read_bytes() for file in state.folder.saved_states()]


def state_with(**values: Any) -> bytes:
    """That state, with other values."""
    return saved({**torch.load(io.BytesIO(_states()[0])), **values})


def _odd_state(random: Random, data: bytes) -> bytes:
    return _repickled(random, saved(odd_value(random, torch.load(io.BytesIO(data)))))


def _resume(path: Path) -> object:
    """As `trevsnn train --resume RUN`, up to the first step."""
    state = _run_state()
    state.folder = RunFolder(path.parent / "run")
    state.folder.checkpoints.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, state.folder.checkpoints / "step-0000000001.pt")
    saved = state.folder.load_state()
    run_state.with_same_steps(state.learner.config, saved, 1)
    return state.restore(saved)


def _load(path: Path) -> object:
    """As `trevsnn predict`, up to the network."""
    read_weights_info(path)
    return load_trained(path, torch.device("cpu"))


def small_weights() -> bytes:
    """Of a network for grey pictures of two classes."""
    return _weights()[0]


def described_otherwise(metadata: Mapping[str, str]) -> bytes:
    """Those weights, with other metadata."""
    header, tensors = _parts(small_weights())
    header["__metadata__"].update(metadata)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + tensors


def complex_weights() -> bytes:
    """Those weights, the first tensor of complex numbers."""
    header, tensors = _parts(small_weights())
    entry = next(entry for name, entry in header.items() if name != "__metadata__" and len(entry["shape"]) == 4)
    first, stop = entry["data_offsets"]
    for other in header.values():
        if "data_offsets" in other:
            other["data_offsets"] = [place + (stop - first) * (place >= stop) for place in other["data_offsets"]]
    entry["dtype"], entry["data_offsets"] = "C64", [first, 2 * stop - first]
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + tensors[:stop] + bytes(stop - first) + tensors[stop:]


def checkpoint_of(name: str) -> bytes:
    """A checkpoint of the public code, with one entry more."""
    return saved({**_official(), name: torch.zeros(1)})


def checkpoint_with(name: str, change: Callable[[Tensor], Any]) -> bytes:
    """A checkpoint of the public code, with one entry changed."""
    state: dict[str, Any] = dict(_official())
    state[name] = change(state[name])
    return saved(state)


def _predict(path: Path) -> Sequence[object]:
    picture = path.with_name("picture.png")
    Image.new("L", (9, 7)).save(picture)
    return "predict", path, picture


READERS = (
    Reader(
        name="safetensors",
        file="model.safetensors",
        seeds=_weights,
        read=_load,
        restructure=_odd_safetensors,
        command=_predict,
    ),
    Reader(
        name="checkpoint",
        file="checkpoint.pth",
        seeds=_checkpoints,
        read=_convert,
        restructure=_odd_checkpoint,
        command=lambda path: ("convert", path, path.with_suffix(".safetensors")),
        quick=60,
        words=(b"c__builtin__\neval\n", b"ctorch\n_utils\n", b"R", b"(", b".", b"}", b"\x80\x02"),
        watched=("/torch/_weights_only_unpickler",),
    ),
    Reader(
        name="training state",
        file="state.pt",
        seeds=_states,
        read=_resume,
        restructure=_odd_state,
        watched=("/torch/_weights_only_unpickler",),
        quick=60,
    ),
)
