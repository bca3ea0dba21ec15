"""Data sets by name."""

from collections.abc import Callable

from trevsnn.data.dataset import ImageDataset
from trevsnn.data.digits import digits
from trevsnn.suggest import suggest

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
        raise ValueError(f"dataset {name!r} is unknown; {suggest(name, list_datasets())}")
    return _DATASETS[name]()
