"""scikit-learn's bundled handwritten digits: 1,797 real grey images of 8 x 8 pixels, no download.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI repository, 1998, as
`sklearn.datasets.load_digits` has it.
"""

from typing import Any

import numpy as np

from trevsnn.data.dataset import LabelledData, PixelSamples
from trevsnn.data.preprocessing import Preprocessing

BRIGHTEST = 16
TEST_SHARE = 0.2
SPLIT_SEED = 0


def digits() -> LabelledData:
    """White digits on black, (1, 32, 32); the same stratified 80/20 split whatever the seed of a run."""
    from sklearn.datasets import load_digits  # slow to import
    from sklearn.model_selection import train_test_split

    bunch: Any = load_digits()
    pixels = (bunch.images * (255 / BRIGHTEST)).round().astype(np.uint8)
    labels = bunch.target.astype(np.int64)
    train, test = train_test_split(
        range(len(labels)), test_size=TEST_SHARE, random_state=SPLIT_SEED, stratify=bunch.target
    )
    return LabelledData(
        name="digits",
        class_names=tuple(str(name) for name in bunch.target_names),
        train=PixelSamples(pixels[train], labels[train]),
        test=PixelSamples(pixels[test], labels[test]),
        model="trevsnn_digits",
        preprocessing=Preprocessing(input_size=(1, 32, 32), interpolation="bilinear", native_size=(8, 8)),
        in_memory=True,
    )
