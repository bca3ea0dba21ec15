"""What evaluation adds up; nothing to run is one clear line."""

import pytest
import torch

from trevsnn import create_model
from trevsnn.data import Preprocessing
from trevsnn.training import Evaluation, evaluate, predict
from trevsnn.training.evaluation import Tally


def test_a_result_stays_as_it_is_while_more_is_added():
    tally = Tally(2)
    tally.add(torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 0]))
    first = tally.result()
    tally.add(torch.tensor([[2.0, 0.0]]), torch.tensor([0]))
    assert first.confusion.tolist() == [[1, 1], [0, 0]]
    assert (first.images, first.accuracy) == (2, 0.5)
    assert tally.result().confusion.tolist() == [[2, 1], [0, 0]]


@pytest.mark.parametrize("name", ["trevsnn_digits", "ms_resnet_digits", "trevsnn_dvs"])
def test_a_batch_of_nothing(name):
    model = create_model(name)
    x = torch.empty(model.config.input_shape(0, 32, 32))
    for network in (model.train(), model.eval()):
        with pytest.raises(ValueError, match=r"input of shape \(.*0, .*\) is a batch of nothing; give at least one"):
            network(x)


def test_no_samples():
    model = create_model("trevsnn_digits", channels=(4, 4), timesteps=1)
    with pytest.raises(ValueError, match="there is no sample to predict; give at least one"):
        predict(model, Preprocessing(input_size=(1, 32, 32)), [])
    with pytest.raises(ValueError, match="there is no image to test on"):
        evaluate(model, [])
    with pytest.raises(ValueError, match="there is no image to test on"):
        Evaluation(confusion=torch.zeros(2, 2, dtype=torch.long), loss=0.0)
