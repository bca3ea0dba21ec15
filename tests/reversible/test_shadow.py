"""A shadow holds more than fp32 in 6 bytes per potential."""

import pytest
import torch

from trevsnn.reversible.shadow import PRECISION, Shadow, channels_at_end

EVERY = slice(None)


def written(x, dtype=torch.float32):
    """A shadow of x (N, C, ...), float64, in a network that computes in dtype."""
    shadow = Shadow.like(x.to(dtype))
    shadow.write(EVERY, channels_at_end(x))
    return shadow


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 7), (2, 4, 3, 5), (1, 1)])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_what_is_read_is_what_was_written_to_its_precision(shape, scale):
    x = scale * torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    error = (written(x).read(EVERY) - channels_at_end(x)).abs()
    assert (error <= PRECISION / 2 * channels_at_end(x).abs() * (1 + 1e-6)).all()
    assert error.max() > 0, "it is no float64"


def test_it_takes_six_bytes_and_is_a_plain_tensor_without_nan():
    x = torch.randn(4, 7, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    data = written(x).data
    assert data.nbytes == 4 * 4 * (105 + 53)  # 105 potentials: as many floats, and half as many for what they lack
    assert data.isfinite().all()
    assert data.shape == Shadow.token(x.float()).shape


def test_what_fp32_holds_is_held_exactly():
    x = torch.tensor([[0.0, -0.0, 0.5, 1.0, -3.25, 1e-30, 3e38]], dtype=torch.float32).double()
    assert torch.equal(written(x).read(EVERY), x)


def test_in_a_float64_network_nothing_is_rounded():
    x = torch.randn(3, 4, 5, dtype=torch.float64)
    assert torch.equal(written(x, torch.float64).read(EVERY), channels_at_end(x))


def test_samples_are_read_and_written_on_their_own():
    x = torch.randn(5, 3, 4).double()
    shadow = written(x)
    shadow.write(slice(1, 3), torch.zeros(2, 4, 3, dtype=torch.float64))
    x[1:3] = 0
    assert torch.equal(shadow.read(EVERY), channels_at_end(x))
    assert torch.equal(shadow.read(slice(3, 5)), channels_at_end(x)[3:5])
    assert sum(len(shadow.read(samples)) for samples in shadow.chunks()) == 5
