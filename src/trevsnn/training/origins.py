"""Where the settings of a run come from, for its first lines."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Origins:
    """Of a `TrainConfig` that a command line and a file were read for."""

    file: str = ""
    """The file in words, "recipe digits" for example."""
    from_file: frozenset[str] = frozenset()
    """Fields that it sets."""
    given: frozenset[str] = frozenset()
    """Fields that the command line sets."""
    notes: tuple[str, ...] = ()
    """What was changed of the file's settings to fit the others."""

    def of(self, field: str) -> str | None:
        """Where a field was set; None where it was not."""
        if field in self.given:
            return flag(field)
        return self.file if field in self.from_file else None


def flag(field: str) -> str:
    """The option of the command line for a field.

    Examples:
        >>> flag("warmup_epochs")
        '--warmup-epochs'
    """
    return "--" + field.replace("_", "-")
