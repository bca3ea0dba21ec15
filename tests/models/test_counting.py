import pytest
import torch

from trevsnn.models import count_macs, create_model, list_models, parameter_counts

# (training, without auxiliary heads, deployed); paper-given figures for kernel 5, the first two for kernel 3
PUBLISHED = {
    ("trevsnn_tiny", 5): (17_376_912, 16_218_912, 15_216_912),
    ("trevsnn_small", 5): (32_331_312, 30_789_312, 29_787_312),
    ("trevsnn_tiny", 3): (17_203_856, 16_045_856),
    ("trevsnn_small", 3): (32_085_040, 30_543_040),
}


@pytest.mark.parametrize(("name", "kernel_size"), PUBLISHED)
def test_parameter_counts_are_the_published_ones(name, kernel_size):
    with torch.device("meta"):
        counts = parameter_counts(create_model(name, kernel_size=kernel_size))
    expected = PUBLISHED[name, kernel_size]
    assert tuple(counts.values())[: len(expected)] == expected


@pytest.mark.parametrize(
    ("name", "stem", "body"), [("trevsnn_small", 0.437e9, 10.485e9), ("trevsnn_tiny", 0.234e9, 5.122e9)]
)
def test_multiply_accumulates_are_the_published_ones(name, stem, body):
    with torch.device("meta"):
        model = create_model(name)
    channels = model.config.channels[-1]
    head = channels * 1000 + 1000 * 1000
    assert count_macs(model) == pytest.approx(stem + body + head, abs=1e6)


@pytest.mark.parametrize("name", [name for name in list_models() if name.startswith("trevsnn_")])
def test_a_folded_network_has_fewer_parameters_still(name):
    model = create_model(name)
    assert parameter_counts(model.fold())["training"] < parameter_counts(model)["deployed"]


def test_counting_leaves_the_network_alone(build):
    model = build(drop_path_rate=0.1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    count_macs(model, (3, 32, 32))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
