import pytest
import torch

from trevsnn.data import load_dataset


def test_split_is_fixed_stratified_and_disjoint():
    dataset, again = load_dataset("digits"), load_dataset("digits")
    assert (len(dataset.train), len(dataset.test)) == (1437, 360)
    assert torch.equal(dataset.test.pixels, again.test.pixels)
    assert torch.equal(dataset.train.labels, again.train.labels)
    counts = dataset.test.labels.bincount()
    assert counts.min() >= 35
    assert counts.max() <= 37
    together = torch.cat([dataset.train.pixels, dataset.test.pixels])
    assert len(together.flatten(1).unique(dim=0)) == 1797


def test_prepare_scales_to_the_input_size():
    dataset = load_dataset("digits")
    images = dataset.prepare(dataset.test.pixels[:5])
    assert images.shape == (5, *dataset.input_size)
    assert images.dtype == torch.float32
    assert (images.min(), images.max()) == (-1, 1)


def test_unknown_name_gets_the_nearest():
    with pytest.raises(ValueError, match="'digitz' is unknown; did you mean 'digits'"):
        load_dataset("digitz")
    with pytest.raises(ValueError, match="choose from digits"):
        load_dataset("imagenet")
