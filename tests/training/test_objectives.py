import pytest
import torch
from torch.nn.functional import cross_entropy

from trevsnn import intermediate_supervision_loss, temporal_efficient_training_loss


def test_heads_weigh_more_the_later_and_the_last_counts_twice():
    heads, target = [torch.randn(5, 3) for _ in range(3)], torch.tensor([0, 1, 2, 1, 0])
    first, second, last = (cross_entropy(logits, target, label_smoothing=0.1) for logits in heads)
    expected = first / 3 + 2 * second / 3 + last + last
    torch.testing.assert_close(intermediate_supervision_loss(heads, target, label_smoothing=0.1), expected)


def test_one_tensor_is_one_head():
    logits, target = torch.randn(5, 3), torch.tensor([0, 1, 2, 1, 0])
    torch.testing.assert_close(intermediate_supervision_loss(logits, target), 2 * cross_entropy(logits, target))


def test_no_head_is_refused():
    with pytest.raises(ValueError, match="outputs"):
        intermediate_supervision_loss([], torch.tensor([0]))


def test_every_step_counts_the_same_in_tet():
    outputs, target = [torch.randn(4, 3) for _ in range(3)], torch.tensor([0, 1, 2, 0])
    expected = sum(
        0.9 * cross_entropy(logits, target, label_smoothing=0.1) + 0.1 * ((logits - 2) ** 2).mean()
        for logits in outputs
    )
    loss = temporal_efficient_training_loss(outputs, target, 0.1, regularisation=0.1, level=2.0)
    torch.testing.assert_close(loss, expected / 3)
    with pytest.raises(ValueError, match=r"regularisation=2 must be from 0 to 1"):
        temporal_efficient_training_loss(outputs, target, regularisation=2)
    with pytest.raises(ValueError, match="outputs="):
        temporal_efficient_training_loss([], target)
