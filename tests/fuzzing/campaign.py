"""Inputs, one after another for a given time, to one reader: in processes that a crash may end.

A folder keeps what a campaign came to, and the next one goes on from there:

    READER/corpus/      inputs that made the package run something new
    READER/findings/    an input and a text for every fault
    READER/again/       inputs of faults that were found before, to be tried again
    READER/state.json   how many were tried, for how long
"""

import faulthandler
import json
import mmap
import os
import resource
import signal
import struct
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import TextIO

from fuzzing.checking import PACKAGE, Fault, Tracer, check, limited_memory
from fuzzing.reader import Reader

DEADLINE, _IDLE = 10.0, 12
"""Seconds of a processor that an input may take, and how many times as long by the clock: others may be busy."""
_SECONDS_OF_A_PROCESS = 120.0
"""Then the next one takes over: what libraries leak stays small."""


def _busy(process: int) -> float:
    """Seconds of a processor that a process has taken; on other systems than Linux, the clock."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return time.monotonic()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def scratch_file(reader: Reader) -> Iterator[Path]:
    """The path of an input, in a folder of its own, in memory where there is such a place."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="fuzzing-", dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder) / reader.file


@dataclass
class State:
    """What the campaigns of a reader have come to."""

    executions: int = 0
    seconds: float = 0.0
    lines: tuple[int, int] = (0, 0)
    """Lines of the package that ran, and that the functions have of which any ran."""
    faults: dict[str, str] = field(default_factory=dict)
    """Name of each finding: what it is."""


class Campaign:
    """Of one reader.

    Args:
        reader: what is tried.
        folder: of all campaigns.
    """

    def __init__(self, reader: Reader, folder: Path):
        self.reader, self.seeds = reader, list(reader.seeds())
        self.folder = folder / reader.name.replace(" ", "_")
        self.corpus, self.findings = self.folder / "corpus", self.folder / "findings"
        for part in (self.corpus, self.findings):
            part.mkdir(parents=True, exist_ok=True)
        self._file = self.folder / "state.json"
        self.state = State(**json.loads(self._file.read_text())) if self._file.exists() else State()
        self._log = self.folder / "log.txt"
        self._again = self.folder / "again"
        self._again.mkdir(exist_ok=True)
        self._outcomes: set[str] = set()
        self._count = mmap.mmap(-1, 8)
        """Executions of the process at work, which outlive it."""

    def run(self, seconds: float) -> State:
        """Try inputs for so long."""
        if not self.seeds:
            return self.state
        for file in self.findings.iterdir():
            if file.suffix == ".txt":
                file.unlink()
            else:
                file.rename(self._again / file.name)
        stop = time.monotonic() + seconds
        while (left := stop - time.monotonic()) > 0:
            started = time.monotonic()
            with scratch_file(self.reader) as path, self._log.open("a+") as log:
                end = self._in_a_process(path, log, min(left, _SECONDS_OF_A_PROCESS))
                if end is not None:
                    self._note(_death(end, self._log.read_text(errors="replace")), path.read_bytes())
            self.state.executions += struct.unpack("Q", self._count[:])[0]
            self.state.seconds += time.monotonic() - started
            self._read_notes()
            self._file.write_text(json.dumps(asdict(self.state), indent=1))
        return self.state

    def _in_a_process(self, path: Path, log: TextIO, seconds: float) -> str | None:
        """What ended it before its time, if anything did."""
        self._count[:] = bytes(8)
        log.truncate(0)
        process = os.fork()
        if not process:
            try:
                with limited_memory():
                    self._work(path, log, seconds)
                os._exit(0)
            except BaseException as error:
                print(f"the campaign itself failed: {error!r}", file=log, flush=True)
                os._exit(3)
        return self._wait(process)

    def _wait(self, process: int) -> str | None:
        done, busy, since, killed = b"", 0.0, time.monotonic(), False
        while True:
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                return ("hang" if killed else "crash") if status else None
            if self._count[:] != done:
                done, busy, since = self._count[:], _busy(process), time.monotonic()
            elif _busy(process) - busy > DEADLINE or time.monotonic() - since > _IDLE * DEADLINE:
                os.kill(process, signal.SIGKILL if killed else signal.SIGABRT)  # the fault handler says where it is
                busy, since, killed = _busy(process), time.monotonic(), True
            time.sleep(0.02)

    def _work(self, path: Path, log: TextIO, seconds: float) -> None:
        """In a process of its own."""
        faulthandler.enable(log)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        self._try(path, self.seeds[0], Tracer())  # loads what is loaded once
        tracer, stop = Tracer(self.reader.watched), time.monotonic() + seconds
        for file in sorted(self._again.iterdir()):  # a fault that is gone by now is forgotten
            data = file.read_bytes()
            file.unlink()
            self._try(path, data, tracer)
        pool = [*self.seeds, *(file.read_bytes() for file in sorted(self.corpus.iterdir()))]
        for data in pool:
            self._try(path, data, tracer)
        random = Random(f"{self.reader.name} {self.state.executions}")
        while time.monotonic() < stop:
            data = self.reader.mutate(random, random.choice(pool), pool)
            if self._try(path, data, tracer):
                pool.append(data)
                (self.corpus / sha256(data).hexdigest()[:16]).write_bytes(data)
        (self.folder / "lines.json").write_text(json.dumps(tracer.lines()))

    def _try(self, path: Path, data: bytes, tracer: Tracer) -> bool:
        """Whether an input is right, or refused as it should be, and makes the package do something new."""
        path.write_bytes(data)
        content, before = self.reader.content(path), len(tracer.arcs)
        with tracer.watching():
            outcome, fault = check(self.reader.read, path, content)
            if fault is not None and fault.kind == "memory":  # a library may have taken room for good just then
                outcome, fault = check(self.reader.read, path, content)
        self._count[:] = struct.pack("Q", 1 + struct.unpack("Q", self._count[:])[0])
        if fault is not None:
            self._note(fault, data)
        new = len(tracer.arcs) > before or outcome not in self._outcomes
        self._outcomes.add(outcome)
        return new and fault is None

    def _note(self, fault: Fault, data: bytes) -> None:
        """Keep the smallest input of each fault."""
        name = sha256(f"{fault.kind} {fault.place}".encode()).hexdigest()[:8]
        name = f"{fault.kind.replace(' ', '-')}-{name}"
        file = self.findings / name
        if not file.exists() or len(data) < file.stat().st_size:
            file.write_bytes(data)
            file.with_suffix(".txt").write_text(f"{fault.kind}: {fault.place}\n{fault.details}\n", errors="replace")

    def _read_notes(self) -> None:
        notes = sorted(self.findings.glob("*.txt"))
        self.state.faults = {note.stem: note.read_text().splitlines()[0] for note in notes}
        lines = self.folder / "lines.json"
        if lines.exists():
            self.state.lines = tuple(json.loads(lines.read_text()))


def _death(kind: str, log: str) -> Fault:
    """What the end of a process's log tells."""
    last = log[max(0, log.rfind("Fatal Python error") - 1000) :][:3000]
    lines = [line.strip() for line in last.splitlines() if PACKAGE in line or "campaign" in line]
    return Fault(kind, lines[0] if lines else "?", last)


def table(states: Sequence[tuple[Reader, State]]) -> str:
    """What was tried and found, a line per reader."""
    rows = [("reader", "executions", "minutes", "lines run", "findings")]
    for reader, state in states:
        ran, of = state.lines
        share = f"{ran} of {of}" if of else "-"
        rows.append(
            (reader.name, f"{state.executions:,}", f"{state.seconds / 60:.1f}", share, str(len(state.faults)))
            if reader.seeds()
            else (reader.name, "no example of its files can be written here", "", "", "")
        )
    widths = [max(len(row[column]) for row in rows if row[2:] != ("", "", "")) for column in range(5)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    for reader, state in states:
        lines += [f"{reader.name}: {name}: {what}" for name, what in state.faults.items()]
    return "\n".join(lines)
