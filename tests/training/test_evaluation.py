"""What evaluation adds up."""

import torch

from trevsnn.training.evaluation import Tally


def test_a_result_stays_as_it_is_while_more_is_added():
    tally = Tally(2)
    tally.add(torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 0]))
    first = tally.result()
    tally.add(torch.tensor([[2.0, 0.0]]), torch.tensor([0]))
    assert first.confusion.tolist() == [[1, 1], [0, 0]]
    assert (first.images, first.accuracy) == (2, 0.5)
    assert tally.result().confusion.tolist() == [[2, 1], [0, 0]]
