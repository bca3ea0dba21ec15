"""The networks that reversibility is compared with train as ours do."""

import copy

import pytest
import torch
from torch.nn.functional import cross_entropy

from trevsnn.models import create_model
from trevsnn.studies.checkpointed import checkpointed
from trevsnn.studies.plain_network import plain


def test_checkpoints_change_neither_gradients_nor_statistics():
    torch.manual_seed(0)
    model = create_model("trevsnn_digits", channels=(4, 4, 8, 8), timesteps=2, aux_heads=False, memory="stored")
    other = checkpointed(copy.deepcopy(model))
    images = torch.randn(3, 1, 32, 32)
    for network in (model, other):
        cross_entropy(network(images), torch.arange(3)).backward()
    assert all("cell" in type(cell).__name__.lower() for row in other.grid.cells for cell in row)
    for own, theirs in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(theirs.grad, own.grad)
    for (name, own), theirs in zip(model.named_buffers(), other.buffers(), strict=True):
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(theirs, own)


@pytest.mark.parametrize("timesteps", [2, 3])
def test_the_plain_network_has_the_shape_of_ours(timesteps):
    options = {"channels": (4, 4, 8, 8), "timesteps": timesteps, "num_classes": 6}
    model = create_model("trevsnn_tiny", **options)
    model.set_intermediate_supervision()
    images = torch.randn(2, 3, 32, 32)
    ours, theirs = model.train()(images), plain(model)(images)
    assert [logits.shape for logits in theirs] == [logits.shape for logits in ours]
    assert all(logits.requires_grad for logits in theirs)


def test_a_network_of_other_options_is_not_written_out():
    with pytest.raises(ValueError, match="the plain network lacks the options of others"):
        plain(create_model("trevsnn_tiny", channels=(4, 4, 8, 8), fusion=False))
