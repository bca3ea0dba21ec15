"""Class names in pictures: in letters that a font has, of a length that fits in."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

LONGEST = 24
"""Letters of a name."""
_OWN = "DejaVu Sans"
"""The font that comes with matplotlib."""
_NO_LETTER = "\N{REPLACEMENT CHARACTER}"


def shortened(name: str) -> str:
    """A name in a line of at most `LONGEST` letters."""
    name = " ".join(name.split())
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def drawable(name: str) -> str:
    """As `shortened`, with a replacement for letters that no font of this machine has."""
    return "".join(letter if _font_of(letter) else _NO_LETTER for letter in shortened(name))


def told_apart(labels: Sequence[str]) -> list[str]:
    """Labels of classes in order, those that look the same with the number of the class.

    Examples:
        >>> told_apart(["a", "?", "?"])
        ['a', '? (1)', '? (2)']
    """
    times = Counter(labels)
    return [f"{label} ({number})" if times[label] > 1 else label for number, label in enumerate(labels)]


def letter_with_fonts(texts: Iterable[Text], names: Iterable[str]) -> None:
    """Draw texts as they stand, without formulas, in matplotlib's own font and, for what it lacks, others.

    Args:
        texts: of a picture.
        names: what they say, as `drawable` returns it; none where the fonts are chosen later.
    """
    fonts = [font for font in map(_font_of, sorted(set("".join(names)))) if font]
    family = list(dict.fromkeys([_OWN, *fonts]))
    for text in texts:
        text.set_parse_math(False)
        text.set_fontfamily(family)


@cache
def _font_of(character: str) -> str | None:
    """The name of a font that has this character; None where the machine has none."""
    if ord(character) in _letters(font_manager.findfont(_OWN)):
        return _OWN
    for entry in font_manager.fontManager.ttflist:
        if "Last Resort" not in entry.name and ord(character) in _letters(entry.fname):  # that one has boxes only
            return entry.name
    return None


@cache
def _letters(file: str) -> frozenset[int]:
    try:
        return frozenset(FT2Font(file).get_charmap())
    except Exception:  # a font that cannot be read has none
        return frozenset()
