"""Names of classes as people see them, whatever system wrote them."""

import unicodedata
from collections.abc import Iterable


def as_seen(name: str | bytes) -> str:
    """A name as it looks: composed letters (NFC), single spaces, none at its ends, nothing that controls a terminal.

    Bytes that are not UTF-8 are read as Windows' Latin letters.

    Examples:
        >>> as_seen("cafe\\u0301 "), as_seen(b"caf\\xe9")
        ('café', 'café')
    """
    if isinstance(name, bytes):
        try:
            name = name.decode()
        except UnicodeDecodeError:
            name = name.decode("cp1252", errors="replace")
    plain = "".join(" " if unicodedata.category(letter) in ("Cc", "Cs") else letter for letter in name)
    return " ".join(unicodedata.normalize("NFC", plain).split()).strip("\ufeff\u200b\u200c\u200d\u200e\u200f\u2060")


def readable(name: bytes) -> str:
    """A path or file name as text; what is not UTF-8 stands there as \\x.. ."""
    return name.decode(errors="backslashreplace")


def differ_in_case_only(some: Iterable[str], others: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of a name of each that differ in nothing else."""
    known = {name.casefold(): name for name in others}
    return [(name, known[name.casefold()]) for name in some if known.get(name.casefold(), name) != name]
