"""Run tests against a mutant, in a forked child of a process that has the heavy packages imported."""

import importlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, ModuleType

import pytest
from mutants import Mutant

HEAVY = (
    *("torch", "torchvision", "timm", "sklearn.datasets", "matplotlib.pyplot", "onnxruntime", "onnx", "nir", "h5py"),
    *("cyclopts", "rich.progress", "rich.markdown", "huggingface_hub", "hypothesis", "torch.utils.tensorboard"),
)
QUIET = (
    *("-x", "-q", "--no-header", "--tb=line", "-p", "no:cacheprovider", "-p", "no:xdist"),
    *("-W", "ignore:Module already imported"),  # so pytest cannot rewrite its assertions
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the tests said of a mutant."""

    verdict: str
    """"killed", "survived" or "timeout"."""
    by: str
    """The test that failed; empty when none did."""
    seconds: float


class _Loader(SourceFileLoader):
    """Loads a file that is not as it is on disk."""

    def __init__(self, name: str, mutant: Mutant):
        super().__init__(name, str(mutant.path))
        self.mutant = mutant

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.mutant.source, self.path, "exec")


class _Finder(MetaPathFinder):
    """Puts the mutant in the place of its module."""

    def __init__(self, source: Path, mutant: Mutant):
        parts = mutant.path.relative_to(source).with_suffix("").parts
        self.name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        self.mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        return spec_from_file_location(fullname, self.mutant.path, loader=_Loader(fullname, self.mutant))


class _Selection:
    """A pytest plugin: only these tests, in this order; the first that fails is noted."""

    def __init__(self, tests: Sequence[str]):
        self.place = {test: i for i, test in enumerate(tests)}
        self.failed = ""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((item for item in items if item.nodeid in self.place), key=lambda i: self.place[i.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.failed:
            self.failed = f"import of {report.nodeid}"


def warm_up() -> None:
    """Import once what every child needs; the package itself must not be among it."""
    for name in HEAVY:
        importlib.import_module(name)
    if loaded := [name for name in sys.modules if name.partition(".")[0] == "trevsnn"]:
        raise RuntimeError(f"{loaded[0]} is imported already: a mutant of it would have no effect")


def try_tests(mutant: Mutant | None, tests: Sequence[str], root: Path, timeout: float) -> Outcome:
    """Run tests one after the other until one fails.

    Args:
        mutant: what is changed; None for nothing, which every test ought to pass.
        tests: their names (pytest's node ids, relative to `root`).
        root: of the repository.
        timeout: seconds after which the child is killed, with its children.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    start = time.perf_counter()
    with TemporaryDirectory(prefix="mutant-", ignore_cleanup_errors=True) as scratch:
        child = context.Process(target=_child, args=(mutant, tests, root, scratch, sender))
        child.start()
        sender.close()
        try:
            ended = receiver.poll(timeout)
            failed = receiver.recv() if ended else ""
        except EOFError:
            ended, failed = True, "the interpreter crashed"
        finally:
            _end(child)
    verdict = ("killed" if failed else "survived") if ended else "timeout"
    return Outcome(verdict=verdict, by=failed, seconds=round(time.perf_counter() - start, 1))


def _end(child: BaseProcess) -> None:
    """Kill a child and whatever it started."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid or 0, signal.SIGKILL)
    child.kill()
    child.join()


def _child(mutant: Mutant | None, tests: Sequence[str], root: Path, scratch: str, sender: Connection) -> None:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.chdir(root)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    source = root / "src"
    sys.path.insert(0, str(source))
    if mutant is not None:
        sys.meta_path.insert(0, _Finder(source, mutant))
    selection = _Selection(tests)
    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    code = pytest.main([*QUIET, f"--basetemp={scratch}", *files], plugins=[selection])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and not selection.failed:
        selection.failed = f"pytest ended with {code!r}"
    sender.send(selection.failed)
