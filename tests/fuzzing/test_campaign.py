"""The campaign sees the faults that it is for, and goes on after them."""

import json
import os
import time
import warnings
from pathlib import Path
from random import Random

import pytest
from fuzzing import campaign
from fuzzing.campaign import Campaign, table
from fuzzing.checking import SPARE, check
from fuzzing.mutation import havoc, odd_value
from fuzzing.reader import Reader


def complain(path):
    warnings.warn("odd", stacklevel=1)


FAULTS = {
    "traceback": lambda path: {}["no such key"],
    "no file named": lambda path: int("no number"),
    "several lines": lambda path: int(f"{path}\n"),
    "warning": complain,
    "noise": lambda path: os.write(2, b"libfoo: error 7\n"),
    "memory": lambda path: len(b"\1" * (SPARE + 10**7)),
}


def refuse(path):
    raise ValueError(f"{str(path)!r} is wrong")


@pytest.mark.parametrize("kind", FAULTS)
def test_faults_are_seen(kind, tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"content")

    def read(path):
        if kind == "several lines":
            raise ValueError(f"{path.name}:\nwrong")
        FAULTS[kind](path)

    _, fault = check(read, path, 7)
    if kind == "memory" and not Path("/proc/self/clear_refs").exists():
        pytest.skip("memory is not watched here")
    assert fault is not None
    assert fault.kind == kind


@pytest.mark.parametrize("read", [refuse, lambda path: None, Path.read_bytes])
def test_what_is_right_is_no_fault(read, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"content")
    assert check(read, tmp_path / "a.bin", 7)[1] is None
    assert check(read, tmp_path / "none.bin", 7)[1] is None


def test_memory_beyond_its_size_is_a_fault_of_a_small_file_only(tmp_path):
    (tmp_path / "a.bin").touch()
    assert check(FAULTS["memory"], tmp_path / "a.bin", SPARE)[1] is None


def fragile(path):
    """Breaks on some first bytes."""
    first = path.read_bytes()[:1]
    if first == b"h":
        time.sleep(60)
    if first == b"a":
        os.abort()
    if first == b"k":
        raise KeyError
    refuse(path)


def reader(read=fragile):
    class Simple(Reader):
        def mutate(self, random, data, others):
            return random.choice((b"h", b"a", b"k", b"r"))

    return Simple(name="fragile reader", file="a.bin", seeds=lambda: [b"seed"], read=read)


def test_a_campaign_survives_hangs_and_crashes_and_forgets_what_was_mended(tmp_path, monkeypatch):
    monkeypatch.setattr(campaign, "DEADLINE", 0.2)
    state = Campaign(reader(), tmp_path).run(0.5)
    while len(state.faults) < 3:  # on a slow machine
        state = Campaign(reader(), tmp_path).run(0.5)
    kinds = {name.rpartition("-")[0] for name in state.faults}
    assert kinds == {"hang", "crash", "traceback"}
    contents = {path.read_bytes() for path in (tmp_path / "fragile_reader/findings").iterdir() if not path.suffix}
    assert contents == {b"h", b"a", b"k"}
    assert state.executions == json.loads((tmp_path / "fragile_reader/state.json").read_text())["executions"] > 3
    lines = table([(reader(), state)]).splitlines()
    assert lines[1].split()[:2] == ["fragile", "reader"]
    assert len(lines) == 2 + len(kinds)

    mended = Campaign(reader(refuse), tmp_path).run(0.1)
    assert mended.faults == {}
    assert mended.executions > state.executions


@pytest.mark.parametrize("seed", range(3))
def test_inputs_are_the_same_at_every_call(seed):
    value = {"a": [1, {"b": 2.5}], "c": "text"}
    assert havoc(Random(seed), bytes(100), [b"other"], [b"word"]) == havoc(
        Random(seed), bytes(100), [b"other"], [b"word"]
    )
    assert repr(odd_value(Random(seed), value)) == repr(odd_value(Random(seed), value))
    assert value == {"a": [1, {"b": 2.5}], "c": "text"}
