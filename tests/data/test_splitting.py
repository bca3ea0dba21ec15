"""A share of every class to test on."""

import numpy as np
import pytest

from trevsnn.data.splitting import split_by_class


@pytest.mark.parametrize(("share", "tested"), [(0.01, (1, 1)), (0.4, (1, 4)), (0.5, (1, 5)), (0.99, (1, 9))])
def test_of_every_class_some_images_stay_on_either_side(share, tested):
    labels = np.array([0] * 2 + [1] * 10)
    train, test = split_by_class(labels, share, ("a", "b"))
    assert tuple(np.bincount(labels[test])) == tested
    assert sorted([*train, *test]) == list(range(12))
