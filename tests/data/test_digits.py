import numpy as np
import pytest
import torch

from trevsnn.data import evaluation_batches, load_dataset


def test_split_is_fixed_stratified_and_disjoint():
    dataset, again = load_dataset("digits"), load_dataset("digits")
    assert (len(dataset.train), len(dataset.test)) == (1437, 360)
    assert np.array_equal(dataset.test.pixels, again.test.pixels)
    assert np.array_equal(dataset.train.labels, again.train.labels)
    counts = np.bincount(dataset.test.labels)
    assert counts.min() >= 35
    assert counts.max() <= 37
    together = np.concatenate([dataset.train.pixels, dataset.test.pixels])
    assert len(np.unique(together.reshape(1797, -1), axis=0)) == 1797


def test_prepared_images_fill_the_input_and_its_range():
    dataset = load_dataset("digits")
    images = torch.cat([batch.images for batch in evaluation_batches(dataset.test, dataset.preprocessing)])
    assert images.shape == (360, *dataset.preprocessing.input_size)
    assert images.dtype == torch.float32
    assert (images.min(), images.max()) == (-1, 1)


def test_unknown_name_gets_the_nearest():
    with pytest.raises(ValueError, match="'digitz' is unknown; did you mean 'digits'"):
        load_dataset("digitz")
    with pytest.raises(ValueError, match="choose from cifar10"):
        load_dataset("xyz")
    with pytest.raises(ValueError, match="'digits', which comes with scikit-learn"):
        load_dataset("digits", "somewhere")
    with pytest.raises(ValueError, match=r"val_split=0\.1 is not for 'digits'"):
        load_dataset("digits", None, 0.1)
    with pytest.raises(ValueError, match="'imagefolder' needs the folder that holds it; give --data DIR"):
        load_dataset("imagefolder")
