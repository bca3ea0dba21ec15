"""Checkpoints of other programs: whatever stands beside the weights, they are read, and nothing is run."""

import argparse
import datetime
import enum
import os
import pickle
import sys
import types
import zipfile
from collections import Counter, OrderedDict, defaultdict
from contextlib import suppress
from pathlib import PosixPath

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from trevsnn import TRevSNN, convert_official
from trevsnn.models.checkpoint import _PICKLE, Foreign, read_checkpoint
from trevsnn.models.found_weights import find_weights
from trevsnn.models.official import FIRST_WEIGHT, official_name


@pytest.fixture(scope="module")
def theirs():
    model = TRevSNN(channels=(4, 6), timesteps=2, num_classes=3)
    return OrderedDict((official_name(name, model.config), value) for name, value in model.state_dict().items())


class Colour(enum.Enum):
    RED = 1


class OwnList(list):
    pass


class Shell(nn.Module):
    """Holds what is put into it."""


def as_module(weights):
    """A module with weights of these names."""
    top = Shell()
    for name, value in weights.items():
        *parts, last = name.split(".")
        module = top
        for part in parts:
            module = module._modules.setdefault(part, Shell())
        if value.is_floating_point():
            module.register_parameter(last, nn.Parameter(value.clone()))
        else:
            module.register_buffer(last, value)
    return top


@pytest.fixture
def cfg_node(monkeypatch):
    """A dictionary as yacs and others have it, with attributes; its package is gone when the file is read."""
    module = types.ModuleType("yacs_like")
    kind = type("CfgNode", (dict,), {"__module__": "yacs_like"})
    module.CfgNode = kind  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "yacs_like", module)
    node = kind(MODEL=kind(DEPTH=4))
    node.__dict__["__immutable__"] = True
    return node


@pytest.fixture
def neighbours(cfg_node):
    lists = defaultdict(list)
    lists["losses"].append(1.5)
    return {
        "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 0.1}]},
        "epoch": np.float64(3.0),
        "curve": np.arange(3.0),
        "args": argparse.Namespace(output=PosixPath("/somewhere"), begun=datetime.datetime(2024, 1, 1)),
        "input": input,
        "config": cfg_node,
        "lists": lists,
        "colour": Colour.RED,
        "own": OwnList([1, 2]),
        "counts": Counter("aab"),
        "module": nn.Linear(2, 2),
        "set": {1, 2},
        "bytes": b"\xff",
        "dtype": torch.float16,
    }


def saved(checkpoint, path, **options):
    torch.save(checkpoint, path, **options)
    sys.modules.pop("yacs_like", None)
    return read_checkpoint(path)


def assert_converts(checkpoint, theirs):
    converted, expected = convert_official(checkpoint), convert_official(theirs)
    assert converted.keys() == expected.keys()
    assert all(torch.equal(value, converted[name]) for name, value in expected.items())


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_neighbours_do_not_matter(tmp_path, theirs, neighbours, zipped, protocol):
    options = {"_use_new_zipfile_serialization": zipped, "pickle_protocol": protocol}
    checkpoint = saved({"model": theirs, **neighbours}, tmp_path / "c.pth", **options)
    assert_converts(checkpoint, theirs)
    found = find_weights(checkpoint, FIRST_WEIGHT)
    assert found.place == "model"
    assert set(found.left) == set(neighbours)
    assert checkpoint["input"].name in ("__builtin__.input", "builtins.input")
    assert isinstance(checkpoint["module"], Foreign)


class Calls:
    """Is pickled as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Restored:
    """Is pickled with a state that its class would set."""

    def __init__(self, path):
        self.path = path

    def __setstate__(self, state):
        open(state["path"], "w", encoding="utf-8").close()


class Fills(dict):
    """Is filled entry by entry."""

    def __setitem__(self, name, value):
        open(name, "w", encoding="utf-8").close()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_no_code_is_run(tmp_path, theirs, zipped):
    trap = str(tmp_path / "sprung")
    fills = Fills()
    dict.__setitem__(fills, trap, 1)
    traps = {
        "system": Calls(os.system, f"touch {trap}"),
        "eval": Calls(eval, f"open({trap!r}, 'w')"),
        "open": Calls(open, trap, "w"),
        "restored": Restored(trap),
        "fills": fills,
        "nested": Calls(getattr, "x", "upper"),
    }
    checkpoint = saved({"model": theirs, **traps}, tmp_path / "c.pth", _use_new_zipfile_serialization=zipped)
    assert not os.path.exists(trap)
    assert_converts(checkpoint, theirs)
    assert checkpoint["system"].name in ("posix.system", "nt.system")


@pytest.mark.parametrize(
    "opcodes",
    [
        b"cos\nsystem\n(S'{}'\ntR.",  # GLOBAL, REDUCE
        b"(S'{}'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'{}'\no.",  # OBJ
        b"\x80\x02cos\nsystem\n(S'{}'\nt\x81.",  # NEWOBJ
        b"\x80\x04cos\nsystem\n(S'{}'\nt}\x92.",  # NEWOBJ_EX
        b"\x80\x04\x8c\x02os\x8c\x06system\x93(S'{}'\ntR.",  # STACK_GLOBAL
        b"\x80\x04\x8c\x05torch\x8c\x09os.system\x93(S'{}'\ntR.",  # a dotted name
    ],
    ids=["reduce", "inst", "obj", "newobj", "newobj_ex", "stack_global", "dotted"],
)
def test_no_opcode_calls(tmp_path, opcodes):
    trap, file = tmp_path / "sprung", tmp_path / "p"
    file.write_bytes(opcodes.replace(b"{}", f"touch {trap}".encode()))
    with file.open("rb") as stream:
        assert isinstance(_PICKLE.load(stream), Foreign)
    assert not trap.exists()


def test_nothing_of_pytorch_is_changed(tmp_path):
    """A state set on a class or a function would stay for the whole program."""
    before = dict(vars(OrderedDict)), torch.Size.numel
    for text in (b"ccollections\nOrderedDict\n(N}S'x'\nI1\nstb.", b"ctorch\nSize\n(N}S'numel'\nNstb."):
        file = tmp_path / "p"
        file.write_bytes(text)
        with file.open("rb") as stream:
            _PICKLE.load(stream)
    assert (dict(vars(OrderedDict)), torch.Size.numel) == before


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module._orig_mod.", "model.", "net.module."]
)
def test_prefixes_are_taken_off(theirs, prefix):
    named = {prefix + name: value for name, value in theirs.items()}
    assert_converts({"state_dict": named, "epoch": 3}, theirs)
    assert_converts(named, theirs)


def test_the_average_is_taken_wherever_it_stands(theirs):
    plain = {f"model.{name}": value * 0 for name, value in theirs.items()}
    average = {f"ema_model.module.{name}": value for name, value in theirs.items()}
    others = {"ema_model.n_averaged": torch.tensor(3), "criterion.weight": torch.ones(2)}
    checkpoint = {"state_dict": plain | average | others}
    assert_converts(checkpoint, theirs)
    found = find_weights(checkpoint, FIRST_WEIGHT)
    assert found.place == "state_dict.ema_model"
    assert set(found.left) == {f"model ({len(theirs)})", *others}
    assert_converts({"model": {name: value * 0 for name, value in theirs.items()}, "model_ema": theirs}, theirs)
    unchanged = {"model": theirs, "model_ema": None, "schema": {name: value * 0 for name, value in theirs.items()}}
    assert_converts(unchanged, theirs)


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_module_saved_whole(tmp_path, theirs, zipped):
    for checkpoint in (as_module(theirs), {"net": as_module({f"module.{n}": v for n, v in theirs.items()})}):
        read = saved(checkpoint, tmp_path / "c.pth", _use_new_zipfile_serialization=zipped)
        assert_converts(read, theirs)


def test_a_module_of_nonsense():
    odd = Foreign("Net", state={"_parameters": 3, "_buffers": Foreign("x"), "_modules": [1]})
    with pytest.raises(ValueError, match="not a state dict of the public"):
        convert_official({"model": odd})


def test_tensors_with_attributes_and_safetensors(tmp_path, theirs):
    for value in (tensors := {name: nn.Parameter(value, False) for name, value in theirs.items()}).values():
        value.note = Colour.RED  # type: ignore[attr-defined]
    assert_converts(saved(tensors, tmp_path / "c.pth"), theirs)
    once = {name: value for name, value in theirs.items() if not ("_reuse." in name and name.startswith("subnet0"))}
    save_file(once, tmp_path / "c.safetensors")  # as safetensors does with shared ones
    assert_converts(read_checkpoint(tmp_path / "c.safetensors"), theirs)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_cut_off_and_damaged(tmp_path, theirs, zipped):
    torch.save(
        {"model": theirs, "args": argparse.Namespace(a=1)}, tmp_path / "w", _use_new_zipfile_serialization=zipped
    )
    content = (tmp_path / "w").read_bytes()
    generator = np.random.default_rng(0)
    for place in generator.integers(1, len(content) - 1, 30):
        (tmp_path / "c.pth").write_bytes(content[:place])
        with pytest.raises(ValueError, match=r"c\.pth' is ") as error:
            read_checkpoint(tmp_path / "c.pth")
        assert "\n" not in str(error.value)
    for place in generator.integers(0, 2000, 60):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(generator.integers(8))
        (tmp_path / "c.pth").write_bytes(damaged)
        with suppress(ValueError):  # and nothing else
            read_checkpoint(tmp_path / "c.pth")


def test_a_plain_pickle_and_torchscript(tmp_path):
    (tmp_path / "p.pkl").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match=r"p\.pkl' is cut off or damaged \(.*\)"):
        read_checkpoint(tmp_path / "p.pkl")
    with zipfile.ZipFile(tmp_path / "s.pt", "w") as archive:
        for name in ("data.pkl", "constants.pkl"):
            archive.writestr(f"s/{name}", b"")
    with pytest.raises(ValueError, match="is a TorchScript module; save the weights alone"):
        read_checkpoint(tmp_path / "s.pt")
