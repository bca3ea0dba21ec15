"""Names of many tensors in few words."""

from collections import defaultdict
from collections.abc import Collection


def in_groups(names: Collection[str], among: Collection[str] = ()) -> list[str]:
    """Names by layer: a layer's own where all that is among it is meant, and layers that differ in numbers together.

    Args:
        names: of tensors, parts joined by dots.
        among: all names that there are.

    Examples:
        >>> in_groups(["head.weight", "head.bias", "cells.0.gain", "cells.1.gain"], ["cells.0.bias", "cells.1.bias"])
        ['cells.0-1.gain (2)', 'head (2)']
    """
    meant, total = _below(names), _below({*names, *among})
    groups: dict[tuple[str, ...], list[tuple[list[int], int]]] = defaultdict(list)
    for prefix in dict.fromkeys(_widest(name, meant, total) for name in sorted(set(names))):
        numbers = [int(part) for part in prefix if part.isdecimal()]
        groups[tuple("#" if part.isdecimal() else part for part in prefix)].append((numbers, meant[prefix]))
    return [_in_words(pattern, found) for pattern, found in groups.items()]


def _widest(name: str, meant: dict[tuple[str, ...], int], total: dict[tuple[str, ...], int]) -> tuple[str, ...]:
    """The shortest beginning of a name that begins no other than meant ones; the name itself where it stands alone."""
    *shorter, whole = _prefixes(name)
    return next((prefix for prefix in shorter if meant[prefix] == total[prefix] > 1), whole)


def _prefixes(name: str) -> list[tuple[str, ...]]:
    parts = tuple(name.split("."))
    return [parts[:length] for length in range(1, len(parts) + 1)]


def _below(names: Collection[str]) -> dict[tuple[str, ...], int]:
    """How many names begin with each prefix."""
    counts: dict[tuple[str, ...], int] = defaultdict(int)
    for name in set(names):
        for prefix in _prefixes(name):
            counts[prefix] += 1
    return counts


def _in_words(pattern: tuple[str, ...], found: list[tuple[list[int], int]]) -> str:
    columns = iter(zip(*(numbers for numbers, _ in found), strict=True))
    parts = []
    for part in pattern:
        if part == "#":
            column = next(columns)
            low, high = min(column), max(column)
            part = str(low) if low == high else f"{low}-{high}"
        parts.append(part)
    count = sum(count for _, count in found)
    return ".".join(parts) + (f" ({count})" if count > 1 else "")
