"""Every reader against wrong files: some hundred new ones, the same at every call, and all that were wrong before."""

import faulthandler

import pytest
from fuzzing.campaign import scratch_file
from fuzzing.cases import CASES, Case
from fuzzing.checking import SHARE, Memory, check, limited_memory
from fuzzing.reader import Reader
from fuzzing.readers import READERS

from trevsnn.cli import main

TABLES = 2 << 20
"""Bytes that any file may take besides."""


@pytest.fixture(autouse=True)
def limits():
    """A hang, or a machine without memory, would tell less than a test that ends."""
    faulthandler.dump_traceback_later(300, exit=True)
    with limited_memory():
        yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(params=READERS.values(), ids=list(READERS))
def reader(request) -> Reader:
    if not request.param.seeds():
        pytest.skip("the package that writes such files is not installed")
    return request.param


def test_right_files_are_read(reader):
    with scratch_file(reader) as path:
        for data in reader.seeds():
            path.write_bytes(data)
            reader.read(path)


def test_wrong_files_are_refused_in_a_line_that_names_them(reader):
    seeds = reader.seeds()
    with scratch_file(reader) as path:
        for number in range(reader.quick):
            path.write_bytes(reader.input(number, seeds))
            _, fault = check(reader.read, path, reader.content(path))
            assert fault is None, f"input {number}"


def taken(reader, path):
    """Bytes. Now and then more than a reader takes: pages of this process that the system had put away come back."""
    memory = Memory(trim=True)
    reader.read(path)
    return memory.most()


def test_large_files_take_no_more_than_four_times_their_content(reader):
    if reader.large is None:
        pytest.skip("its files are small")
    with scratch_file(reader) as path:
        for data in reader.seeds():  # loads what is loaded once
            path.write_bytes(data)
            reader.read(path)
        for what, data in reader.large().items():
            path.write_bytes(data)
            most = SHARE * reader.content(path) + TABLES
            assert any(taken(reader, path) <= most for _ in range(3)), what


@pytest.fixture(params=CASES, ids=[f"{case.reader}: {case.what}" for case in CASES])
def case(request) -> Case:
    if not READERS[request.param.reader].seeds():
        pytest.skip("the package that writes such files is not installed")
    return request.param


def test_what_was_found_before(case):
    reader = READERS[case.reader]
    with scratch_file(reader) as path:
        path.write_bytes(case.make())
        _, fault = check(reader.read, path, reader.content(path))
    assert fault is None


def test_a_command_says_it_in_a_line(case, capfd):
    reader = READERS[case.reader]
    if reader.command is None:
        pytest.skip("no command reads it by itself")
    with scratch_file(reader) as path:
        path.write_bytes(case.make())
        code = main([str(token) for token in reader.command(path)])
    lines = capfd.readouterr().err.splitlines()
    if code:
        assert code == 2
        assert len(lines) == 1
        assert lines[0].startswith("trevsnn: error: ")
    else:  # some damage does not matter
        assert not lines
