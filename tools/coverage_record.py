"""Which test runs which lines of the package, and how long it takes: recorded once, one line of JSON per test."""

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
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
        with self.record.open("a") as target:
            target.write(json.dumps(row) + "\n")
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.passed &= report.passed


class Record:
    """The tests of a record, the latest line of each; those that failed or were skipped are left out."""

    def __init__(self, path: Path):
        rows = {row["test"]: row for row in map(json.loads, path.read_text().splitlines())}
        self.seconds = {test: row["seconds"] for test, row in rows.items() if row["passed"]}
        self.tests_of: dict[str, dict[str, set[int]]] = defaultdict(dict)
        """Of a file: its tests, and the lines that each runs."""
        for test in self.seconds:
            for file, lines in rows[test]["lines"].items():
                self.tests_of[file][test] = set(lines)

    def choose(
        self, file: str, lines: tuple[int, int], function: tuple[int, int] | None, budget: float
    ) -> tuple[list[str], bool]:
        """The tests to try on a change, and whether one of them runs it.

        They are those that run its lines; where there are none, those of its function, of its file (as for what is
        outside functions) or of its package. Tests of the file's own package come first, and of these the fast ones.
        What a fixture runs for many tests is recorded with the first of them only: the other tests of a chosen one's
        file follow.

        Args:
            file: that is changed, relative to the root.
            lines: first and last of the change.
            function: first and last line of the function around it; None outside functions.
            budget: seconds that the tests may take together, at least one being chosen.
        """
        folder = f"tests/{Path(file).relative_to('src/trevsnn').parts[0]}/"
        ours = {test for test in self.seconds if test.startswith(folder)}
        running = self._running(file, lines)
        chosen = running or (function and self._running(file, function)) or set(self.tests_of[file] or ours)
        files = {test.partition("::")[0] for test in chosen}
        others = {test for test in self.seconds if test.partition("::")[0] in files} - chosen

        def rank(test: str) -> tuple[bool, float]:
            return test not in ours, self.seconds[test]

        tests = sorted(chosen, key=rank) + sorted(others, key=rank)
        ends = accumulate(self.seconds[test] for test in tests)
        affordable = [test for test, end in zip(tests, ends, strict=True) if end <= budget]
        return affordable or tests[:1], bool(running or (function is None and chosen))

    def _running(self, file: str, lines: tuple[int, int]) -> set[str]:
        wanted = range(lines[0], lines[1] + 1)
        return {test for test, run in self.tests_of[file].items() if not run.isdisjoint(wanted)}

    def total(self, tests: Sequence[str]) -> float:
        """Seconds that these take."""
        return sum(self.seconds[test] for test in tests)
