"""Mutation testing: would a test notice if the code were a little wrong?

    make mutants PACKAGES="training data" COUNT=60 SEED=0

draws mutants of each package (mutants.py says of what kinds), runs the tests that execute the changed lines, and prints
how many a test noticed, and those that none did, as diffs: each is a missing test, dead code, or changes nothing that
anyone could see. The log is runs/mutants/log.jsonl; the same command goes on where it was interrupted. What survived is
tried again, after a test was written or with more time for tests, by

    .venv/bin/python tools/mutate.py run training data --retry --budget 60

Which test runs which lines is recorded first, in runs/mutants/tests.jsonl, by a run of the tests that are not marked
slow (a quarter of an hour). Record again when the code has changed, or only the test files that did:

    .venv/bin/python tools/mutate.py record tests/data/test_digits.py

Why not mutmut or cosmic-ray: both start Python anew for every mutant, and importing PyTorch takes longer than the tests
of a line do. Here every mutant is a forked child of a process with the packages imported, and the file on disk stays as
it is. Programs that a test starts read that file, so their lines count as not tested; slow tests are left out. A mutant
takes two seconds, one that survives as long as its tests.
"""

import json
import os
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import pytest
from coverage_record import Record, Recorder
from cyclopts import App, Parameter
from mutants import Mutant, draw
from trials import Outcome, try_tests, warm_up

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "trevsnn"
FOLDER = ROOT / "runs" / "mutants"
RECORD, LOG = FOLDER / "tests.jsonl", FOLDER / "log.jsonl"
PATIENCE = 60.0
"""Seconds beyond three times the recorded ones after which the tests of a mutant count as hanging."""

app = App(name="mutate.py", help=__doc__, version_flags=())


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the log: a mutant and what came of it."""

    key: str
    place: str
    """File and line."""
    kind: str
    diff: str
    covered: bool
    """Whether a test runs the changed lines."""
    outcome: Outcome

    @property
    def verdict(self) -> str:
        survived = self.outcome.verdict == "survived"
        return "not covered" if survived and not self.covered else self.outcome.verdict


@app.command
def record(*paths: Annotated[str, Parameter(help="test files or folders; none for all")]) -> int:
    """Record which test runs which lines."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    os.chdir(ROOT)
    file = RECORD if paths else RECORD.with_suffix(".part")  # until it is whole
    if not paths:
        file.unlink(missing_ok=True)
    plugin = Recorder(ROOT, PACKAGE, file)
    code = pytest.main(["-m", "not slow", "-p", "no:cacheprovider", "-p", "no:xdist", *paths], plugins=[plugin])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        return int(code)
    file.replace(RECORD)
    return 0


@app.command
def run(
    *packages: Annotated[str, Parameter(help="folders or files of the package: data, training/loop.py, ...")],
    count: Annotated[int, Parameter(help="mutants of each")] = 60,
    seed: Annotated[int, Parameter(help="of the draw")] = 0,
    budget: Annotated[float, Parameter(help="seconds of tests, as recorded, that a mutant may cost")] = 30,
    retry: Annotated[bool, Parameter(help="try again what survived", negative=())] = False,
) -> None:
    """Try mutants of packages, and report."""
    drawn = {package: draw(_files(package), count, seed) for package in packages}
    rows = {row.key: row for row in _read_log()}
    tests = Record(RECORD)
    warm_up()
    _check_unchanged(tests)
    for package, mutants in drawn.items():
        for number, mutant in enumerate(mutants, 1):
            row = rows.get(mutant.key)
            if row is None or (retry and row.verdict != "killed"):
                row = rows[mutant.key] = _try(mutant, tests, budget)
                with LOG.open("a", encoding="utf-8") as log:
                    log.write(json.dumps(asdict(row)) + "\n")
                print(f"{package} {number}/{len(mutants)} {row.place} {row.kind}: {row.verdict}", flush=True)
    results = {package: [rows[mutant.key] for mutant in mutants] for package, mutants in drawn.items()}
    for row in (row for found in results.values() for row in found if row.verdict != "killed"):
        print(f"\n{row.place} {row.kind}: {row.verdict}\n{row.diff}")
    print(f"\n{_table(results)}")


def _files(package: str) -> list[Path]:
    place = PACKAGE / package
    paths = [place] if place.is_file() else sorted(place.rglob("*.py"))
    if not paths:
        raise ValueError(f"package {package!r} is not in {PACKAGE}: name a folder or file of it")
    return paths


def _read_log() -> list[Row]:
    if not LOG.exists():
        return []
    read = map(json.loads, LOG.read_text(encoding="utf-8").splitlines())
    return [Row(**values | {"outcome": Outcome(**values["outcome"])}) for values in read]


def _check_unchanged(tests: Record) -> None:
    """The fastest tests pass without a mutant, in the surroundings that mutants meet."""
    fastest = sorted(tests.seconds, key=tests.seconds.__getitem__)[:20]
    outcome = try_tests(None, fastest, ROOT, PATIENCE)
    if outcome.verdict != "survived":
        failed = outcome.by or outcome.verdict
        raise ValueError(f"{failed} without a mutant: tests must pass before mutants are tried")


def _try(mutant: Mutant, tests: Record, budget: float) -> Row:
    file = str(mutant.path.relative_to(ROOT))
    chosen, covered = tests.choose(file, mutant.lines, mutant.function, budget)
    if chosen:
        outcome = try_tests(mutant, chosen, ROOT, PATIENCE + 3 * tests.total(chosen))
    else:
        outcome = Outcome(verdict="survived", by="", seconds=0)
    place = f"{mutant.path.relative_to(PACKAGE)}:{mutant.lines[0]}"
    return Row(key=mutant.key, place=place, kind=mutant.kind, diff=mutant.diff(ROOT), covered=covered, outcome=outcome)


def _table(results: Mapping[str, Sequence[Row]]) -> str:
    lines = ["| package | mutants | killed | survived | not covered | timeout | killed or timeout |", "|---" * 7 + "|"]
    for package, rows in results.items():
        counts = Counter(row.verdict for row in rows)
        score = (counts["killed"] + counts["timeout"]) / len(rows)
        cells = [len(rows), *(counts[verdict] for verdict in ("killed", "survived", "not covered", "timeout"))]
        lines.append(f"| {package} | {' | '.join(map(str, cells))} | {score:.0%} |")
    return "\n".join(lines)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for work in the background
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.environ |= {"OMP_NUM_THREADS": "1", "HYPOTHESIS_STORAGE_DIRECTORY": str(FOLDER / "hypothesis")}
    app()
