"""What an error message says of a name that is unknown."""

import difflib
from collections.abc import Sequence


def suggest(word: object, known: Sequence[str]) -> str:
    """The nearest known name as a question, or all of them where none is near.

    Example:
        >>> suggest("digitz", ["digits", "imagenet"])
        "did you mean 'digits'?"
        >>> suggest("cats", ["digits", "imagenet"])
        'choose from digits, imagenet'
    """
    close = difflib.get_close_matches(str(word), known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(known)}"
