"""Events from arrays, under the names and in the units that are customary.

Names, in any case: t, ts, time, timestamp; x, xs, x_pos, col; y, ys, y_pos, row; p, ps, pol, polarity, on; and their
plurals. A name of t may end in its unit (timestamp_ns).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, get_args

import numpy as np

from trevsnn.data.events.ordering import in_order
from trevsnn.data.events.reading import Reading, TimeUnit
from trevsnn.data.events.recording import Events, are_whole, blocks

COLUMNS = ("t", "x", "y", "p")
_NAMES = {
    "t": r"t|ts|times?|time_?stamps?",
    "x": r"xs?|x_?pos(ition)?s?|x_?coord(inate)?s?|cols?|columns?",
    "y": r"ys?|y_?pos(ition)?s?|y_?coord(inate)?s?|rows?",
    "p": r"ps?|pols?|polarity|polarities|on|signs?",
}
_UNITS: Mapping[str, TimeUnit] = {
    **{unit: unit for unit in get_args(TimeUnit)[1:]},
    **dict.fromkeys(("sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("msec", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("usec", "µs", "μs", "microsecond", "microseconds"), "us"),
    **dict.fromkeys(("nsec", "nanosecond", "nanoseconds"), "ns"),
}
_UNIT_AT_END = re.compile(rf"(.+?)[ _\-(\[]+({'|'.join(_UNITS)})[)\]]?")
_PER_MICROSECOND = {"s": 1e-6, "ms": 1e-3, "us": 1, "ns": 1000}
_IN_WORDS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_ORDERS = ("txyp", "xytp", "xypt")
"""Of the columns of an (N, 4) array."""


class Column(NamedTuple):
    """One of the arrays of a file that hold events, or a part of one."""

    name: str
    unit: TimeUnit = "auto"
    """Of t, where its name says it."""


def unit_of(words: str) -> TimeUnit:
    """The unit of time that words name; "auto" for others."""
    return _UNITS.get(words.strip().lower(), "auto")


def find_columns(names: Iterable[str]) -> dict[str, Column]:
    """Which of the arrays of these names hold t, x, y and p, as far as they are there.

    Raises:
        ValueError: when two may hold the same.
    """
    names = list(names)
    return {kind: found for kind in COLUMNS if (found := _find(kind, names)) is not None}


def _find(kind: str, names: list[str]) -> Column | None:
    found = []
    for name in names:
        plain, unit = name.strip().lower(), "auto"
        if kind == "t" and (ending := _UNIT_AT_END.fullmatch(plain)):
            plain, unit = ending[1], _UNITS[ending[2]]
        if re.fullmatch(_NAMES[kind], plain):
            found.append(Column(name, unit))
    exact = [column for column in found if column.name == kind]
    if len(exact or found) > 1:
        several = " and ".join(repr(column.name) for column in found)
        raise ValueError(f"its arrays {several} may both be {kind!r}; keep one of them")
    return (exact or found or [None])[0]


def check_complete(found: Mapping[str, object], holds: str) -> None:
    """Refuse a file that lacks one of the columns.

    Raises:
        ValueError: naming it, with what the file holds, in words.
    """
    for kind in COLUMNS:
        if kind not in found:
            raise ValueError(f"there is no array {kind!r}; t, x, y and p are needed, and it holds {holds}")


def describe_arrays(arrays: Mapping[str, tuple[tuple[int, ...], np.dtype | str]], most: int = 8) -> str:
    """Names, shapes and types of arrays, in words."""
    if not arrays:
        return "no arrays"
    words = [f"{name} {tuple(shape)} {_name_of(kind)}" for name, (shape, kind) in list(arrays.items())[:most]]
    more = f" and {len(arrays) - most:,} more" if len(arrays) > most else ""
    return ", ".join(words)[:1000] + more


def _name_of(kind: np.dtype | str) -> str:
    if isinstance(kind, np.dtype) and kind.names is not None:
        return f"of the fields {', '.join(kind.names)}"
    return str(kind)


def from_columns(columns: Mapping[str, np.ndarray], reading: Reading, unit: TimeUnit = "auto") -> Events:
    """A recording from arrays t, x, y and p, (N,) each, or (N, 1) or (1, N).

    Args:
        columns: the arrays.
        reading: how to read what is open.
        unit: of t, where the file says it.

    Raises:
        ValueError: for what is not a recording, or may be several ones.
    """
    flat = {}
    for name in COLUMNS:
        values = np.asarray(columns[name])
        if values.dtype.kind not in "iubf":
            raise ValueError(f"{name} of type {values.dtype} must hold numbers")
        flat[name] = values.reshape(-1) if values.ndim and values.size == max(values.shape) else values
    for name, values in flat.items():
        if values.shape != flat["t"].shape or values.ndim != 1:
            raise ValueError(f"{name} of shape {values.shape} must hold a value for each of {flat['t'].size} events")
    t = _microseconds(flat["t"], unit if reading.time_unit == "auto" else reading.time_unit)
    return in_order(t, flat["x"], flat["y"], _zero_or_one(flat["p"]), reading)


def from_array(array: np.ndarray, reading: Reading, unit: TimeUnit = "auto") -> Events:
    """A recording from one array: with fields, or (N, 4) or (4, N) in the order t, x, y, p or x, y, t, p or x, y, p, t,
    whichever the values fit.

    Raises:
        ValueError: as `from_columns`.
    """
    if array.dtype.names is not None:
        found = find_columns(array.dtype.names)
        check_complete(found, describe_arrays({"an array": (array.shape, array.dtype)}))
        unit = found["t"].unit if unit == "auto" else unit
        return from_columns({kind: array[column.name] for kind, column in found.items()}, reading, unit)
    if array.dtype.kind not in "iubf":
        raise ValueError(f"an array of type {array.dtype} must hold numbers")
    if array.ndim == 2 and array.shape[1] != len(COLUMNS) and array.shape[0] == len(COLUMNS):
        array = array.T
    if array.ndim != 2 or array.shape[1] != len(COLUMNS):
        raise ValueError(f"an array of shape {array.shape} must be (N, 4), or have the fields t, x, y and p")
    return from_columns(dict(zip(_order(array), array.T, strict=True)), reading, unit)


class _Facts(NamedTuple):
    """What a column may be, by its values."""

    time: bool
    rising: bool
    pixels: bool
    polarity: bool


def _order(array: np.ndarray) -> str:
    """Of the columns, (N, 4)."""
    if not len(array):
        return _ORDERS[0]
    facts = [_look(column) for column in array.T]

    def fits(order: str) -> bool:
        kinds = dict(zip(order, facts, strict=True))
        return kinds["t"].time and kinds["x"].pixels and kinds["y"].pixels and kinds["p"].polarity

    possible = [order for order in _ORDERS if fits(order)]
    rising = [order for order in possible if facts[order.index("t")].rising]
    best = rising or possible
    if len(best) == 1:
        return best[0]
    orders = "; ".join(", ".join(order) for order in best or _ORDERS)
    raise ValueError(
        f"the columns of an array of shape {array.shape} may be {orders}; save them under their names: "
        "np.savez(FILE, t=..., x=..., y=..., p=...)"
        if best
        else f"the columns of an array of shape {array.shape} must be in one of the orders {orders}, pixels being "
        "integers from 0, and polarities 0 and 1, or -1 and 1"
    )


def _look(column: np.ndarray) -> _Facts:
    with np.errstate(invalid="ignore"):
        lowest, highest = column.min(), column.max()
        finite = bool(np.isfinite(lowest) and np.isfinite(highest))
        whole = are_whole(column)
        rising = not bool((column[1:] < column[:-1]).any())
    return _Facts(
        time=finite and (lowest < highest or len(column) == 1),
        rising=rising,
        pixels=whole and lowest >= 0 and highest < 2**15,
        polarity=whole and ((lowest >= -1 and highest <= 1) or (lowest >= 1 and highest <= 2)),
    )


def _zero_or_one(p: np.ndarray) -> np.ndarray:
    """Polarities that are 0 and 1, -1 and 1, or 1 and 2, as 0 and 1."""
    if not len(p) or p.dtype.kind == "b":
        return p
    lowest, highest = p.min(), p.max()
    if are_whole(p):
        if lowest >= 0 and highest <= 1:
            return p
        if lowest == -1 and highest <= 1 and not any(bool((part == 0).any()) for part in blocks(p)):
            return p > 0
        if lowest >= 1 and highest == 2:
            return p > 1
    values = ", ".join(str(value) for value in np.unique(p[: 2**16])[:5].tolist())
    raise ValueError(f"p holds {values}; polarities must be 0 and 1, or -1 and 1, or 1 and 2")


def _microseconds(t: np.ndarray, unit: TimeUnit) -> np.ndarray:
    """Times in whole microseconds."""
    if not len(t) or t.dtype.kind == "b":
        return t
    if t.dtype.kind == "f" and not (np.isfinite(t.min()) and np.isfinite(t.max())):
        raise ValueError("t holds values that are not numbers")
    if unit == "auto":
        unit = _guess_unit(t)
    if unit == "us" and t.dtype.kind in "iu":
        return t
    scale = _PER_MICROSECOND[unit]
    limit = 2**63 * min(scale, 1.0)
    if not (-limit < float(t.min()) and float(t.max()) < limit):
        raise ValueError(f"t from {t.min()} to {t.max()} {_IN_WORDS[unit]} is more than 64 bits of microseconds")
    if t.dtype.kind in "iu" and scale >= 1:
        return _in_blocks(t, lambda part: part // scale)
    if t.dtype.kind in "iu":
        return _in_blocks(t, lambda part: part.astype(np.int64) * round(1 / scale))
    return _in_blocks(t, lambda part: np.rint(part.astype(np.float64) / scale))


_SHORT = 10.0
_LONG = 86_400.0
_BUSY = 10_000.0
_AGES = 10**17
"""Seconds that a recording lasts where its unit is looked at twice, and at most; events per second of a camera that
sees something; microseconds, 3,000 years, that no clock counts."""


def _guess_unit(t: np.ndarray) -> TimeUnit:
    """From the values: whole microseconds, or seconds with fractions.

    Raises:
        ValueError: where that is unlikely, and another unit is not.
    """
    lowest, highest = float(t.min()), float(t.max())
    span = highest - lowest
    if are_whole(t):
        if max(abs(lowest), abs(highest)) > _AGES:
            return "ns"
        seconds = span / 1e6
        if seconds > _SHORT and len(t) / seconds < _BUSY and not any(bool((part % 1000).any()) for part in blocks(t)):
            raise _unclear("us", "ns", seconds, len(t))
        return "us"
    if span > _SHORT and (span > _LONG or len(t) / span < _BUSY) and not _finer_than_milliseconds(t):
        raise _unclear("s", "ms", span, len(t))
    if span > _LONG:
        raise _unclear("s", "us", span, len(t))
    return "s"


def _finer_than_milliseconds(t: np.ndarray) -> bool:
    """Whether seconds have more than three digits after the point, rounding aside."""
    rounding = 1e-5 + 2e3 * float(np.finfo(t.dtype).eps) * float(np.abs(t).max())
    return any(bool((np.abs(part * 1e3 - np.rint(part * 1e3)) > rounding).any()) for part in blocks(t))


def _unclear(unit: TimeUnit, other: TimeUnit, seconds: float, events: int) -> ValueError:
    return ValueError(
        f"t may be in {_IN_WORDS[unit]}, {events:,} events in {seconds:,.0f} s, or in {_IN_WORDS[other]}; say which by "
        f"--time-unit {unit} or --time-unit {other}"
    )


def _in_blocks(t: np.ndarray, convert: Callable[[np.ndarray], Any]) -> np.ndarray:
    out = np.empty(len(t), np.int64)
    for source, target in zip(blocks(t), blocks(out), strict=True):
        target[:] = convert(source)
    return out
