"""The mutants of tools/mutate.py."""

from collections import defaultdict
from pathlib import Path

import pytest
from mutants import draw, find

SOURCE = '''
"""A file."""

LIMIT: dict[str, int] = {"most": 3}


def share(part: float, whole: float = 1.0) -> float | None:
    """Part of the whole, é < 1."""
    if not 0 <= part < whole or max(part, whole) > LIMIT["most"]:
        raise ValueError(f"{part} < 0 is too small", "or too large")
    try:
        values = [part * whole, whole][1:]
    except (OSError, KeyError):
        print(values, flush=True)
    return round(part / whole, -2)


class Named:
    def __repr__(self) -> str:
        return "a" + "b"
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "file.py"
    file.write_text(SOURCE, encoding="utf-8")
    return file


def test_every_kind_of_change_is_found_and_nothing_that_only_people_read(file: Path):
    changed = defaultdict(set)
    for mutant in find(file):
        before, after = (line[1:].strip() for line in mutant.diff(file.parent).splitlines()[2:] if line[0] in "-+")
        changed[before].add(after)
    assert changed == {
        'LIMIT: dict[str, int] = {"most": 3}': {
            """LIMIT: dict[str, int] = {'XXmost': 3}""",
            'LIMIT: dict[str, int] = {"most": 4}',
            'LIMIT: dict[str, int] = {"most": 2}',
        },
        "def share(part: float, whole: float = 1.0) -> float | None:": {
            "def share(part: float, whole: float = 3.0) -> float | None:"
        },
        'if not 0 <= part < whole or max(part, whole) > LIMIT["most"]:': {
            'if not (not 0 <= part < whole or max(part, whole) > LIMIT["most"]):',
            'if (0 <= part < whole) or max(part, whole) > LIMIT["most"]:',
            'if not 0 < part < whole or max(part, whole) > LIMIT["most"]:',
            'if not 0 <= part <= whole or max(part, whole) > LIMIT["most"]:',
            'if not 1 <= part < whole or max(part, whole) > LIMIT["most"]:',
            'if not 0 <= part < whole and max(part, whole) > LIMIT["most"]:',
            'if not 0 <= part < whole or min(part, whole) > LIMIT["most"]:',
            'if not 0 <= part < whole or max(part, whole) >= LIMIT["most"]:',
            """if not 0 <= part < whole or max(part, whole) > LIMIT['XXmost']:""",
        },
        'raise ValueError(f"{part} < 0 is too small", "or too large")': {"pass"},
        "values = [part * whole, whole][1:]": {
            "values = [part / whole, whole][1:]",
            "values = [part * whole, whole][:]",
            "values = [part * whole, whole][2:]",
            "values = [part * whole, whole][0:]",
        },
        "except (OSError, KeyError):": {"except (KeyError,):", "except (OSError,):"},
        "print(values, flush=True)": {"pass", "print(values, **{})", "print(values, flush=False)"},
        "return round(part / whole, -2)": {
            "return None",
            "return round(-2, part / whole)",
            "return round(part * whole, -2)",
            "return round(part / whole, (2))",
            "return round(part / whole, -3)",
            "return round(part / whole, -1)",
        },
    }


def test_a_draw_is_that_of_its_seed(file: Path):
    first = [mutant.key for mutant in draw([file], 5, seed=0)]
    assert len(first) == 5
    assert [mutant.key for mutant in draw([file], 5, seed=0)] == first
    assert [mutant.key for mutant in draw([file], 5, seed=1)] != first
