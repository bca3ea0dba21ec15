"""CIFAR-10 and CIFAR-100 in the files of their authors, read by torchvision.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
"""

from pathlib import Path

import numpy as np
from torchvision.datasets import CIFAR10, CIFAR100

from trevsnn.data.dataset import LabelledData, PixelSamples
from trevsnn.data.preprocessing import Preprocessing

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
INPUT_SIZE = (3, 32, 32)


def cifar10(root: Path) -> LabelledData:
    """50,000 images to train on and 10,000 to test on, (3, 32, 32), 10 classes."""
    return _cifar("cifar10", CIFAR10, root)


def cifar100(root: Path) -> LabelledData:
    """As CIFAR-10, of 100 classes."""
    return _cifar("cifar100", CIFAR100, root)


def _cifar(name: str, reader: type[CIFAR10], root: Path) -> LabelledData:
    try:
        train, test = reader(str(root), train=True), reader(str(root), train=False)
    except RuntimeError as error:
        raise ValueError(
            f"data {str(root)!r} does not hold {name}, or a damaged copy: unpack the archive of its authors there, "
            f"so that it has a folder {reader.base_folder!r}"
        ) from error
    return LabelledData(
        name=name,
        class_names=tuple(train.classes),
        train=PixelSamples(train.data, np.asarray(train.targets, np.int64)),
        test=PixelSamples(test.data, np.asarray(test.targets, np.int64)),
        model="trevsnn_tiny",
        preprocessing=Preprocessing(input_size=INPUT_SIZE, mean=MEAN, std=STD),
    )
