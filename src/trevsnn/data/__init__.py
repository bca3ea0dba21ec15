"""Data sets by name, seeded batches, and image files for inference."""

from trevsnn.data.augment import random_affine
from trevsnn.data.batches import seeded_generator, training_batches
from trevsnn.data.dataset import ImageDataset, Split
from trevsnn.data.images import read_image
from trevsnn.data.registry import list_datasets, load_dataset

__all__ = [
    "ImageDataset",
    "Split",
    "list_datasets",
    "load_dataset",
    "random_affine",
    "read_image",
    "seeded_generator",
    "training_batches",
]
