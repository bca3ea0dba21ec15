"""Class names in pictures: in letters that a font has, of a length that finds room."""

from collections.abc import Iterable
from functools import cache

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

LONGEST = 24
"""Letters of a name."""
_OWN = "DejaVu Sans"
"""The font that comes with matplotlib."""
_NO_LETTER = "\N{REPLACEMENT CHARACTER}"


def letter(texts: Iterable[Text]) -> None:
    """Make what these texts say fit to be drawn: no formulas, at most `LONGEST` letters, each of which a font has.

    A font of the machine is taken for letters that matplotlib's own lacks; without one they become a replacement
    character.
    """
    for text in texts:
        words = shortened_name(text.get_text())
        fonts = [font for font in map(_font_of, sorted(set(words))) if font]
        text.set_text("".join(x if _font_of(x) else _NO_LETTER for x in words))
        text.set_parse_math(False)
        text.set_fontfamily(list(dict.fromkeys([_OWN, *fonts])))


def shortened_name(name: str) -> str:
    """In a line, at most `LONGEST` letters."""
    name = " ".join(name.split())
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


@cache
def _font_of(character: str) -> str | None:
    """The name of a font that has this character; None where the machine has none."""
    if ord(character) in _letters(font_manager.findfont(_OWN)):
        return _OWN
    for entry in font_manager.fontManager.ttflist:
        if ord(character) in _letters(entry.fname):
            return entry.name
    return None


@cache
def _letters(file: str) -> frozenset[int]:
    try:
        return frozenset(FT2Font(file).get_charmap())
    except Exception:  # a font that cannot be read has none
        return frozenset()
