"""Which test runs which lines of the package, and how long it takes: recorded once, one line of JSON per test."""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import accumulate
from pathlib import Path

import coverage
import pytest


class Recorder:
    """A pytest plugin that appends `{"test", "seconds", "passed", "lines": {file: [numbers]}}` per test to a file.

    What a fixture runs for several tests counts for each of them. Lines that run while modules are imported belong to
    no test, neither do those of other processes.
    """

    def __init__(self, root: Path, package: Path, record: Path):
        self.root, self.record = root, record
        self.coverage = coverage.Coverage(data_file=None, include=[f"{package}/*"])
        self.coverage.start()
        self.context, self.passed = "", True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.passed = True
        start = time.perf_counter()
        with self._context(item.nodeid):
            result = yield
        row = {
            "test": item.nodeid,
            "seconds": round(time.perf_counter() - start, 3),
            "passed": self.passed,
            "lines": self._lines([item.nodeid, *_shared_fixtures(item)]),
        }
        with self.record.open("a", encoding="utf-8") as target:
            target.write(json.dumps(row) + "\n")
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef) -> Iterator[None]:
        with nullcontext() if fixturedef.scope == "function" else self._context(_name(fixturedef)):
            return (yield)

    @contextmanager
    def _context(self, name: str) -> Iterator[None]:
        """Lines run within the block are those of this test or fixture."""
        before, self.context = self.context, name
        self.coverage.switch_context(name)
        try:
            yield
        finally:
            self.context = before
            self.coverage.switch_context(before)

    def _lines(self, contexts: Sequence[str]) -> dict[str, list[int]]:
        data = self.coverage.get_data()
        found: dict[str, set[int]] = defaultdict(set)
        for context in contexts:
            data.set_query_context(context)
            for file in data.measured_files():
                found[str(Path(file).relative_to(self.root))].update(data.lines(file) or ())
        return {file: sorted(lines) for file, lines in sorted(found.items()) if lines}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.passed &= report.passed


class Record:
    """The tests of a record, the latest line of each; those that failed or were skipped are left out."""

    def __init__(self, path: Path):
        rows = {row["test"]: row for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())}
        self.seconds = {test: row["seconds"] for test, row in rows.items() if row["passed"]}
        counts: Counter[str] = Counter()
        self.costs: dict[str, float] = {}
        """Seconds of every test, those of the second fastest of its file twice, of the third three times, ..."""
        for test in sorted(self.seconds, key=self.seconds.__getitem__):
            counts[_file(test)] += 1
            self.costs[test] = self.seconds[test] * counts[_file(test)]
        self.tests_of: dict[str, dict[str, set[int]]] = defaultdict(dict)
        """Of a file: its tests, and the lines that each runs."""
        for test in self.seconds:
            for file, lines in rows[test]["lines"].items():
                self.tests_of[file][test] = set(lines)

    def choose(
        self, file: str, lines: tuple[int, int], function: tuple[int, int] | None, budget: float
    ) -> tuple[list[str], bool]:
        """The tests to try on a change, and whether one of them runs it.

        They are those that run its lines; where there are none, those of its function; else, as outside functions,
        which are run for all by whoever imports the file first, those of its file and its package. As the budget
        allows, the file's own package comes first, and what is fast, and different files rather than many tests of one.
        What is left of it goes to other tests of these files, which may share what a cached function made.

        Args:
            file: that is changed, relative to the root.
            lines: first and last of the change.
            function: first and last line of the function around it; None outside functions.
            budget: seconds that the tests may take together, at least one being chosen.
        """
        folder = f"tests/{Path(file).relative_to('src/trevsnn').parts[0]}/"
        ours = {test for test in self.seconds if test.startswith(folder)}
        anywhere = self.tests_of[file].keys() | ours
        running = self._running(file, lines) if function else anywhere
        chosen = running or (function and self._running(file, function)) or anywhere
        files = {_file(test) for test in chosen}
        tests = chosen | {test for test in self.seconds if _file(test) in files}

        def rank(test: str, measure: Mapping[str, float]) -> tuple[bool, bool, float]:
            return test not in chosen, test not in ours, measure[test]

        by_cost = sorted(tests, key=lambda test: rank(test, self.costs))
        ends = accumulate(self.seconds[test] for test in by_cost)
        affordable = [test for test, end in zip(by_cost, ends, strict=True) if end <= budget] or by_cost[:1]
        return sorted(affordable, key=lambda test: rank(test, self.seconds)), bool(running)

    def _running(self, file: str, lines: tuple[int, int]) -> set[str]:
        wanted = range(lines[0], lines[1] + 1)
        return {test for test, run in self.tests_of[file].items() if not run.isdisjoint(wanted)}

    def total(self, tests: Sequence[str]) -> float:
        """Seconds that these take."""
        return sum(self.seconds[test] for test in tests)


def _name(fixture: pytest.FixtureDef) -> str:
    return f"{fixture.baseid} {fixture.argname}"


def _shared_fixtures(item: pytest.Item) -> Iterator[str]:
    """Names of the fixtures of a test that others may use too."""
    info = getattr(item, "_fixtureinfo", None)
    for fixtures in info.name2fixturedefs.values() if info else ():
        yield from (_name(fixture) for fixture in fixtures if fixture.scope != "function")


def _file(test: str) -> str:
    return test.partition("::")[0]
