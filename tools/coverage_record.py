"""Which test runs which lines of the package, and how long it takes: recorded once, one line of JSON per test."""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

import coverage
import pytest


class Recorder:
    """A pytest plugin that appends `{"test", "seconds", "passed", "lines": {file: [numbers]}}` per test to a file.

    Lines that run while modules are imported belong to no test, neither do those of other processes.
    """

    def __init__(self, root: Path, package: Path, record: Path):
        self.root, self.record = root, record
        self.coverage = coverage.Coverage(data_file=None, include=[f"{package}/*"])
        self.coverage.start()
        self.passed = True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.passed = True
        self.coverage.switch_context(item.nodeid)
        start = time.perf_counter()
        result = yield
        seconds = time.perf_counter() - start
        self.coverage.switch_context("")
        data = self.coverage.get_data()
        data.set_query_context(item.nodeid)
        files = {file: data.lines(file) for file in sorted(data.measured_files())}
        lines = {str(Path(file).relative_to(self.root)): sorted(numbers) for file, numbers in files.items() if numbers}
        row = {"test": item.nodeid, "seconds": round(seconds, 3), "passed": self.passed, "lines": lines}
        with self.record.open("a", encoding="utf-8") as target:
            target.write(json.dumps(row) + "\n")
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.passed &= report.passed


class Record:
    """The tests of a record, the latest line of each; those that failed or were skipped are left out."""

    def __init__(self, path: Path):
        rows = {row["test"]: row for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())}
        self.seconds = {test: row["seconds"] for test, row in rows.items() if row["passed"]}
        counts: Counter[str] = Counter()
        self.turns: dict[str, float] = {}
        """The place of every test among those of its file, the fastest first."""
        for test in sorted(self.seconds, key=self.seconds.__getitem__):
            self.turns[test] = counts[_file(test)]
            counts[_file(test)] += 1
        self.tests_of: dict[str, dict[str, set[int]]] = defaultdict(dict)
        """Of a file: its tests, and the lines that each runs."""
        for test in self.seconds:
            for file, lines in rows[test]["lines"].items():
                self.tests_of[file][test] = set(lines)

    def choose(
        self, file: str, lines: tuple[int, int], function: tuple[int, int] | None, budget: float
    ) -> tuple[list[str], bool]:
        """The tests to try on a change, and whether one of them runs it.

        They are those that run its lines; where there are none, those of its function; else, as outside functions, which
        are run once by whoever imports the file, those of its file and its package. Of these a test of every file is
        chosen, then a second, as long as the budget lasts, those of the file's own package before others. What a
        fixture runs for many tests is recorded with the first of them only, so what is left of the budget goes to other
        tests of these files.

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

        in_turn = sorted(tests, key=lambda test: rank(test, self.turns))
        ends = accumulate(self.seconds[test] for test in in_turn)
        affordable = [test for test, end in zip(in_turn, ends, strict=True) if end <= budget] or in_turn[:1]
        return sorted(affordable, key=lambda test: rank(test, self.seconds)), bool(running)

    def _running(self, file: str, lines: tuple[int, int]) -> set[str]:
        wanted = range(lines[0], lines[1] + 1)
        return {test for test, run in self.tests_of[file].items() if not run.isdisjoint(wanted)}

    def total(self, tests: Sequence[str]) -> float:
        """Seconds that these take."""
        return sum(self.seconds[test] for test in tests)


def _file(test: str) -> str:
    return test.partition("::")[0]
