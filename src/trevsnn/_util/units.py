"""Units that a reader gets at a glance."""


def unit_of(energy: float) -> tuple[str, float]:
    """The unit for energies up to this one (pJ), and how many pJ it is."""
    return ("mJ", 1e9) if energy >= 1e8 else ("µJ", 1e6)


def megabytes(number: float) -> str:
    """Bytes in MB, small ones with three digits.

    Examples:
        >>> megabytes(1_234_567_890), megabytes(460_000)
        ('1,234.6', '0.46')
    """
    value = number / 1e6
    return f"{value:,.1f}" if value >= 10 else f"{value:.3g}"
