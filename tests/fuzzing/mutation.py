"""Wrong inputs made of right ones: bytes, and the values of JSON and TOML."""

import struct
from collections.abc import Sequence
from random import Random
from typing import Any

LARGEST = 1 << 18
"""Inputs grow to this many bytes at most: a fault that needs a larger file than this is rare, and slow to look for."""
NUMBERS = sorted({sign * (2**power + more) for power in (0, 1, 3, 7, 8, 15, 16, 20, 31, 32, 40, 62, 63, 64)
                  for more in (-1, 0, 1) for sign in (1, -1)})  # fmt: skip
"""At the edges of what the fields of files hold."""
ODD_VALUES = (
    *(None, True, False, 0, 1, -1, 2, 3, 17, 255, 4096, 100_000, 2**31, 2**63, 2**64, 10**30, 10**5000),
    *(0.5, -0.0, 1e-320, 1e308, float("nan"), float("inf"), -float("inf")),
    *("", "0", "1", "nan", "x" * 5000, "\ud800", "\x00", "\n", "é", "中", "/", "..", "~nobody/x", "true"),
    *([], {}, [[]], [None], [1, 2], [0, 0, 0], [-1, -1], [1, 100_000, 100_000], [1e9] * 4, {"a": {}}, {"": 0}),
)
"""What stands in JSON and TOML where something else is meant."""


def havoc(random: Random, data: bytes, others: Sequence[bytes] = (), words: Sequence[bytes] = ()) -> bytes:
    """Bytes changed in a few random places, as fuzzers for C do it.

    Args:
        random: decides.
        data: to start from.
        others: parts of which may be taken over.
        words: that mean something in the format.
    """
    content = bytearray(data)
    for _ in range(1 << random.randrange(4)):
        place = random.randrange(len(content) + 1)
        size = min(len(content) - place, 1 << random.randrange(12))
        change = random.randrange(10)
        if change == 0 and size:
            content[place] ^= 1 << random.randrange(8)
        elif change == 1 and size:
            content[place] = random.randrange(256)
        elif change == 2:
            width = random.choice((1, 2, 4, 8))
            number = random.choice(NUMBERS) % 256**width
            content[place : place + width] = number.to_bytes(width, random.choice(("little", "big")))
        elif change == 3 and size >= 4:
            order = random.choice("<>")
            number = struct.unpack_from(f"{order}I", content, place)[0] + random.randint(-8, 8)
            struct.pack_into(f"{order}I", content, place, number % 2**32)
        elif change == 4:
            del content[place : place + size]
        elif change == 5:
            del content[place:]
        elif change == 6:
            content[place:place] = content[place : place + size] * random.choice((1, 1, 2, 50))
        elif change == 7:
            content[place:place] = random.randbytes(1 << random.randrange(6))
        elif change == 8 and words:
            word = random.choice(words)
            content[place : place + random.choice((0, len(word)))] = word
        elif change == 9 and others:
            other = random.choice(others)
            start = random.randrange(len(other) + 1)
            part = other[start : start + (1 << random.randrange(12))]
            content[place : place + random.choice((0, len(part)))] = part
    return bytes(content[:LARGEST])


def odd_value(random: Random, value: Any) -> Any:
    """A value of JSON or TOML with something else in one place: at its root, or anywhere below."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        changed, key = dict(value), random.choice(list(value))
        what = random.randrange(8)
        if what == 0:
            del changed[key]
        elif what == 1:
            changed[f"{key}x"] = changed.pop(key)
        else:
            changed[key] = odd_value(random, value[key])
        return changed
    if isinstance(value, (list, tuple)) and value and random.random() < 0.8:
        changed, place = list(value), random.randrange(len(value))
        what = random.randrange(5)
        if what == 0:
            del changed[place]
        elif what == 1:
            changed *= 2
        else:
            changed[place] = odd_value(random, value[place])
        return changed
    if isinstance(value, (int, float)) and not isinstance(value, bool) and random.random() < 0.4:
        return random.choice((-value, value * 2, value + 1, value * 10**6, 0, str(value), [value], float(value)))
    if random.random() < 0.1:
        return nested(random)
    return random.choice(ODD_VALUES)


def nested(random: Random) -> Any:
    """A list or object in itself, deeper than parsers like it."""
    value: Any = 0
    for _ in range(random.choice((10, 300, 900))):
        value = [value] if random.random() < 0.5 else {"a": value}
    return value


def deep_text(random: Random, opening: str, closing: str) -> bytes:
    """Brackets in brackets, more of them than recursion allows."""
    depth = random.choice((500, 5_000, 100_000))
    return (opening * depth + closing * random.choice((0, depth))).encode()
