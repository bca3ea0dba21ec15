import torch
from torch import nn

from trevsnn.training.averaging import SharedWeightsEma


def test_shared_parameters_and_buffers_move_once_per_step():
    shared = nn.Linear(2, 2)
    model = nn.ModuleList([shared, shared, nn.BatchNorm1d(2)])
    ema = SharedWeightsEma(model, decay=0.9)
    start = shared.weight.detach().clone()
    with torch.no_grad():
        shared.weight += 1
        model[2].running_mean += 1
    model[2].num_batches_tracked += 5
    decay = ema.get_decay(step=3)
    ema.update(model, step=3)
    assert 0 < decay < 0.9  # warm-up
    torch.testing.assert_close(ema.module[0].weight, start + 1 - decay)
    torch.testing.assert_close(ema.module[2].running_mean, torch.full((2,), 1 - decay))
    assert ema.module[2].num_batches_tracked == 5
    assert ema.get_decay(step=10_000) == 0.9
    assert SharedWeightsEma(model, 0.9, warmup=False).get_decay(step=3) == 0.9
