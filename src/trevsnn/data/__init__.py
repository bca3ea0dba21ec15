"""Data sets by name, seeded batches from them, and pictures for inference."""

from typing import TYPE_CHECKING

from trevsnn._util.lazy import imported_on_use

if TYPE_CHECKING:
    from trevsnn.data.augmentation import Augmentation
    from trevsnn.data.dataset import LabelledData, PixelSamples, Samples
    from trevsnn.data.events.preprocessing import FramePreprocessing
    from trevsnn.data.inventory import Inventory, describe_data, list_data
    from trevsnn.data.loading import BadImages, TrainingStream, default_workers, evaluation_batches
    from trevsnn.data.pictures import BadImageError, check_files, open_picture
    from trevsnn.data.preprocessing import Preprocessing
    from trevsnn.data.registry import list_datasets, load_dataset

__all__ = [
    "Augmentation",
    "BadImageError",
    "BadImages",
    "FramePreprocessing",
    "Inventory",
    "LabelledData",
    "PixelSamples",
    "Preprocessing",
    "Samples",
    "TrainingStream",
    "check_files",
    "default_workers",
    "describe_data",
    "evaluation_batches",
    "list_data",
    "list_datasets",
    "load_dataset",
    "open_picture",
]

__getattr__, __dir__ = imported_on_use(
    __name__,
    **{
        "augmentation": "Augmentation",
        "dataset": "LabelledData PixelSamples Samples",
        "events.preprocessing": "FramePreprocessing",
        "inventory": "Inventory describe_data list_data",
        "loading": "BadImages TrainingStream default_workers evaluation_batches",
        "pictures": "BadImageError check_files open_picture",
        "preprocessing": "Preprocessing",
        "registry": "list_datasets load_dataset",
    },
)
