"""What has to hold for every input of a reader, and how it is watched."""

import ctypes
import os
import resource
import stat
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

MOST = 4 << 30
"""Bytes of addresses that an input is let ask for, much more than any should."""
PACKAGE = "/trevsnn/"
"""Part of the names of our own files."""
SHARE = 4
"""How many times the size of its content a reader may take."""
SPARE = 64 << 20
"""Bytes that it may take beyond that: decoders have tables of their own, and small files say little."""


@contextmanager
def limited_memory() -> Iterator[None]:
    """Within, this process cannot ask for more than `MOST` bytes beyond what it has: a fault is not to end the machine.
    Where addresses are not counted, it does nothing."""
    pages = Path("/proc/self/statm")
    if not pages.exists():
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    most = int(pages.read_text(encoding="utf-8").split()[0]) * resource.getpagesize() + MOST
    resource.setrlimit(
        resource.RLIMIT_AS, (most if before[1] == resource.RLIM_INFINITY else min(most, before[1]), before[1])
    )
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


class Memory:
    """Watches the resident memory of this process from now on; on Linux, else it sees none.

    Args:
        trim: give free memory back first (GNU's library): what is taken from that is not seen.
    """

    def __init__(self, trim: bool = False) -> None:
        self.before = 0
        if trim and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
            library.malloc_trim(0)
        try:
            with open("/proc/self/clear_refs", "w", encoding="utf-8") as file:
                file.write("5")  # the peak begins anew
            self.before = self._peak()
        except OSError:
            pass

    def most(self) -> int:
        """Bytes that have been taken at a time, beyond those at the beginning."""
        return self._peak() - self.before if self.before else 0

    def _peak(self) -> int:
        with open("/proc/self/status", "rb") as file:
            return int(file.read().partition(b"VmHWM:")[2].split(maxsplit=1)[0]) << 10


@dataclass(frozen=True)
class Fault:
    """How a reader failed; two inputs with the same `place` are most likely one fault."""

    kind: str
    place: str
    details: str


def check(read: Callable[[Path], object], path: Path, content: int) -> tuple[str, Fault | None]:
    """Let a reader have a file. Returns what came of it, in a word and a place, and the fault if it is one.

    Args:
        read: the reader; it may raise a ValueError or OSError of one line that names the file.
        path: the file.
        content: bytes of what it holds, which is more than its size if it is compressed.
    """
    memory = Memory()
    with warnings.catch_warnings(record=True) as warned, _errors_of_libraries() as written:
        warnings.simplefilter("always")
        outcome, fault = _read(read, path)
    used = memory.most()
    if fault is None and used > SHARE * content + SPARE:
        fault = Fault("memory", outcome, f"{used / 1e6:.0f} MB for {content:,} bytes; {outcome}")
    if fault is None and warned:
        first = warned[0]
        fault = Fault("warning", f"{first.category.__name__} {first.filename}:{first.lineno}", str(first.message))
    if fault is None and written:
        fault = Fault("noise", "standard error", written[0])
    return outcome, fault


def _read(read: Callable[[Path], object], path: Path) -> tuple[str, Fault | None]:
    try:
        result = read(path)
    except (ValueError, OSError) as error:
        message, place = str(error), _place(error)
        outcome = f"refused {place}"
        kind: str | None = None
        if any(isinstance(cause, MemoryError) for cause in _chain(error)):  # where there is more, it takes it
            kind = "memory"
        elif path.name not in message and str(path.parent) not in message:  # of several files, their folder will do
            kind = "no file named"
        elif "\n" in message:
            kind = "several lines"
        return outcome, kind and Fault(kind, place, f"{type(error).__name__}: {message[:300]}")
    except BaseException as error:  # a panic of Rust is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        details = "".join(traceback.format_exception_only(error))[:300]
        frames = traceback.format_list(traceback.extract_tb(error.__traceback__)[-4:])
        return f"failed {_place(error)}", Fault("traceback", _place(error), details + "".join(frames))
    return f"read {type(result).__name__}", None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it comes from, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _place(error: BaseException) -> str:
    """Kind of the first error in the chain, and the line of the package where it came up."""
    *_, first = _chain(error)
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    ours = [(file, line) for file, line in frames if PACKAGE in file]
    file, line = (ours or frames)[-1]
    return f"{type(first).__name__} {Path(file).name}:{line}"


@contextmanager
def _errors_of_libraries() -> Iterator[list[str]]:
    """What libraries of C print on standard error; Python's own messages come here as exceptions."""
    written: list[str] = []
    before = os.fstat(2).st_size if _is_file(2) else None
    yield written
    sys.stderr.flush()
    if before is not None and os.fstat(2).st_size > before:
        written.append(os.pread(2, 300, before).decode(errors="replace"))


def _is_file(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


class Tracer:
    """Which lines of the package ran, one after which: what tells an input that does something new.

    Args:
        others: parts of the names of files that are watched besides the package's.
    """

    def __init__(self, others: Sequence[str] = ()):
        self.parts = (PACKAGE, *others)
        self.arcs: set[tuple[str, int, int]] = set()
        self._entered: dict[CodeType, bool] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        sys.settrace(self._call)
        try:
            yield
        finally:
            sys.settrace(None)

    def _call(self, frame: FrameType, event: str, value: Any) -> Any:
        code = frame.f_code
        watched = self._entered.get(code)
        if watched is None:
            watched = self._entered[code] = any(part in code.co_filename for part in self.parts)
        return self._line(code.co_filename) if watched else None

    def _line(self, file: str) -> Any:
        last = 0

        def local(frame: FrameType, event: str, value: Any) -> Any:
            nonlocal last
            if event == "line":
                self.arcs.add((file, last, frame.f_lineno))
                last = frame.f_lineno
            return local

        return local

    def lines(self) -> tuple[int, int]:
        """How many lines of functions of the package ran, of all in those functions that ran at all."""
        ran = {(file, line) for file, _, line in self.arcs if PACKAGE in file}
        there = {
            (code.co_filename, line)
            for code, watched in self._entered.items()
            if watched and PACKAGE in code.co_filename
            for _, _, line in code.co_lines()
            if line is not None and line != code.co_firstlineno
        }
        return len(ran & there), len(there)
