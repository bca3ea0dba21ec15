"""How much memory a file may ask for: what it says of itself is not to decide that alone."""

_TIMES, _AT_LEAST = 100, 64 * 2**20
"""A file may hold so many times its size, and so many bytes in any case, once it is unpacked."""


def most_unpacked(size: int) -> int:
    """What a file of so many bytes may hold once it is unpacked (bytes)."""
    return _TIMES * size + _AT_LEAST


def check_size(needed: int, size: int) -> None:
    """Refuse a file that says that its arrays are much larger than it could hold.

    Args:
        needed: what they say (bytes).
        size: of the file (bytes).

    Raises:
        ValueError: naming both.
    """
    most = most_unpacked(size)
    if needed > most:
        raise ValueError(
            f"its {size:,} bytes say that they unpack to {needed:,}, and at most {most:,} are believed: it is damaged, "
            "or nearly all its values are the same; save it anew without compression"
        )
