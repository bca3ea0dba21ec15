"""Did-you-mean suggestions, and other words for error messages."""

import difflib
from collections.abc import Sequence


def suggest(word: object, known: Sequence[str]) -> str:
    """The nearest known name as a question, or all of them where none is near.

    Examples:
        >>> suggest("digitz", ["digits", "imagenet"])
        "did you mean 'digits'?"
        >>> suggest("cats", ["digits", "imagenet"])
        'choose from digits, imagenet'
    """
    close = difflib.get_close_matches(str(word), known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(known)}"


def in_a_line(error: object) -> str:
    """What an error says, whatever lines it has.

    Examples:
        >>> in_a_line(ValueError("no number\\n  in line 2"))
        'no number in line 2'
    """
    return " ".join(str(error).split())


def shortened(names: Sequence[str], most: int = 3, between: str = ", ") -> str:
    """The first names, and how many more there are.

    Examples:
        >>> shortened(["a", "b", "c", "d"], 2)
        'a, b and 2 more'
    """
    return between.join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
