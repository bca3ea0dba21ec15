"""The memory claim: 2 bits per key neuron and step, where stored activations take whole floats."""

import gc

import pytest
from helpers import WIDTH, clone, everything, make_grid, make_input, weighted_sum

from trevsnn.costs.peak_memory import peak_bytes

SIZE, BATCH, LEVELS = (32, 32), 16, 2
KEY_NEURONS = BATCH * WIDTH * (SIZE[0] * SIZE[1] + SIZE[0] * SIZE[1] // 4)  # level 1 has half the height and width
CELL_OVERHEAD = 6 * 1024  # bytes that a cell keeps besides its codes: 5056 of random state, batch statistics, scalars


def peak(memory, timesteps, per_step=False, cell="batchnorm", decay=0.5):
    """Peak bytes of a training step, without the parameters' gradients (they are there before it)."""
    grid = clone(make_grid(cell, timesteps, LEVELS, decay, per_step), memory)
    x = make_input(cell, BATCH, SIZE)

    def step():
        (output,) = grid(x, lambda state: state.spikes().mean((2, 3)) if state.t == timesteps - 1 else None)
        weighted_sum([output]).backward()

    step()
    assert all(p.grad is not None for p in grid.parameters())
    return peak_bytes(step)


def slope(memory, first, last, **options):
    """Bytes per step between two numbers of steps."""
    return (peak(memory, last, **options) - peak(memory, first, **options)) / (last - first)


@pytest.mark.parametrize("decay", [1.0, 0.5, 0.2])
@pytest.mark.parametrize("per_step", [False, True], ids=["shared_decay", "decay_per_step"])
@pytest.mark.parametrize("cell", ["batchnorm", "dropout"])
def test_one_more_step_costs_two_bits_per_key_neuron(cell, per_step, decay):
    cost = slope("reversible", 4, 8, per_step=per_step, cell=cell, decay=decay)
    assert KEY_NEURONS / 4 <= cost <= KEY_NEURONS / 4 + LEVELS * CELL_OVERHEAD


def test_stored_memory_grows_linearly_and_forty_times_faster():
    early, late = slope("stored", 4, 6), slope("stored", 6, 8)
    assert late == pytest.approx(early, rel=0.02)
    assert late >= 40 * slope("reversible", 4, 8)


def test_a_tiny_decay_per_step_costs_an_anchor_every_third_step_and_no_more():
    cost = slope("reversible", 9, 18, per_step=True, decay=0.01)
    anchors = 6 * KEY_NEURONS / 3  # 6 bytes each
    assert anchors <= cost <= anchors + KEY_NEURONS / 4 + LEVELS * CELL_OVERHEAD


def test_a_tiny_decay_shared_by_all_steps_costs_nothing():
    assert slope("reversible", 4, 8, decay=0.01) == slope("reversible", 4, 8, decay=0.9)


def test_all_memory_is_given_back_without_the_garbage_collector():
    grid, x = make_grid("batchnorm", 4, per_step=True), make_input("batchnorm", BATCH, SIZE)

    def steps(count):
        for _ in range(count):
            weighted_sum(grid(x, everything)).backward()

    steps(1)
    gc.collect()
    gc.disable()
    try:
        assert peak_bytes(lambda: steps(3)) == peak_bytes(lambda: steps(1))
    finally:
        gc.enable()
