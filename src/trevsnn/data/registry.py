"""Data sets by name."""

import difflib
from collections.abc import Callable

from trevsnn.data.dataset import ImageDataset
from trevsnn.data.digits import digits

_DATASETS: dict[str, Callable[[], ImageDataset]] = {"digits": digits}


def list_datasets() -> list[str]:
    """Names that `load_dataset` knows."""
    return sorted(_DATASETS)


def load_dataset(name: str) -> ImageDataset:
    """The data set of that name.

    Raises:
        ValueError: for an unknown name; the message has the nearest right one.
    """
    if name not in _DATASETS:
        close = difflib.get_close_matches(name, list_datasets(), n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(list_datasets())}"
        raise ValueError(f"dataset {name!r} is unknown; {hint}")
    return _DATASETS[name]()
