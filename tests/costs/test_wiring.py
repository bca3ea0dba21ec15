"""Operations of a convolution against those counted by hand, and against its derivatives."""

import pytest
import torch
from torch import nn
from torch.autograd.functional import jacobian

from trevsnn.costs.wiring import Wiring


def dependencies(*convs, size):
    """(inputs,): how many outputs of the convolutions, one after another, depend on each input."""
    for conv in convs:
        nn.init.uniform_(conv.weight, 0.5, 1.0)  # all of one sign: nothing cancels
    matrix = jacobian(nn.Sequential(*convs).double(), torch.zeros(1, *size, dtype=torch.float64))
    return (matrix.reshape(-1, torch.Size(size).numel()) != 0).sum(0).double()


def test_a_spike_meets_as_many_weights_as_the_border_leaves():
    conv = nn.Conv2d(1, 2, 3, padding=1)
    wiring = Wiring.of(conv, (1, 3, 3))
    met = [[4, 6, 4], [6, 9, 6], [4, 6, 4]]
    for row in range(3):
        for column in range(3):
            spike = torch.zeros(1, 3, 3)
            spike[0, row, column] = 1
            assert wiring.operations(spike) == 2 * met[row][column]
    assert wiring.operations(torch.ones(1, 3, 3)) == 2 * 49
    assert wiring.operations(torch.full((1, 3, 3), 0.5)) == 49
    assert wiring.positions == 9


SINGLE = [
    ((3, 4, 3), {"padding": 1}),
    ((3, 4, 3), {"padding": 1, "stride": 2}),
    ((3, 4, (3, 2)), {"padding": (0, 1), "stride": (2, 1)}),
    ((4, 4, 5), {"padding": 2, "groups": 4}),
    ((4, 6, 1), {"groups": 2}),
    ((2, 3, 7), {"padding": 3, "stride": 2}),
]
PAIRS = {
    "depth-wise, point-wise": [((3, 3, 5), {"padding": 2, "groups": 3}), ((3, 6, 1), {})],
    "point-wise, depth-wise": [((6, 3, 1), {}), ((3, 3, 5), {"padding": 2, "groups": 3})],
    "stem": [((2, 3, 7), {"padding": 3, "stride": 2}), ((3, 3, 3), {"padding": 1, "stride": 2})],
}


@pytest.mark.parametrize("size", [(6, 5), (9, 8), (3, 1)])
@pytest.mark.parametrize(("numbers", "options"), SINGLE, ids=str)
def test_operations_are_the_dependencies_of_the_outputs(numbers, options, size):
    conv = nn.Conv2d(*numbers, **options)
    inputs = torch.randint(0, 3, (conv.in_channels, *size))
    expected = inputs.flatten().double() @ dependencies(conv, size=inputs.shape)
    assert Wiring.of(conv, inputs.shape).operations(inputs) == expected


@pytest.mark.parametrize("size", [(9, 8), (12, 5), (4, 4)])
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_merged_operations_are_the_dependencies_through_both(pair, size):
    first, second = (nn.Conv2d(*numbers, **options) for numbers, options in pair)
    inputs = torch.randint(0, 3, (first.in_channels, *size))
    between = first(torch.zeros(1, *inputs.shape)).shape[1:]
    merged = Wiring.of(first, inputs.shape).then(Wiring.of(second, between))
    assert merged.operations(inputs) == inputs.flatten().double() @ dependencies(first, second, size=inputs.shape)
