"""Methods side by side: what is measured, and the tables and ratios of it."""

import pytest
import torch
from matplotlib.colors import to_hex

from trevsnn.models import count_macs, create_model, parameter_counts
from trevsnn.plots.style import MAIN, MUTED
from trevsnn.studies import comparison
from trevsnn.studies.comparison import Method, Row, measure, named_method, ratios
from trevsnn.studies.comparison_picture import comparison_picture
from trevsnn.studies.comparison_tables import comparison_tables, notes
from trevsnn.studies.papers import PUBLISHED

CPU = torch.device("cpu")


def row(name, size=(3, 224, 224), timesteps=4, **values):
    return Row(Method(name=name, build=None, count=None), 4, timesteps=timesteps, input_size=size, **values)


@pytest.fixture
def rows():
    """Of figures that are easily divided."""
    rate = {"firing_rate": 0.084, "assumed": True}
    small = {"parameters": 29_800_000, "macs": 10_900_000_000, "energy": {"published": 2.8e9, "strict": 8e9}, **rate}
    peer = {"parameters": 29_700_000, "macs": 32_000_000_000, "energy": {"published": 4.2e9, "strict": 4e9}, **rate}
    return [
        row("trevsnn_small", bytes_per_image=25.71e6, times=[4.0, 1.0, 2.0], **small),
        row("sdt_8_512", bytes_per_image=1028.4e6, times=[8.0, 8.0], **peer),
        row("sew_resnet34-memopt", memopt_level=1, error="out of memory"),
    ]


def test_speed_is_the_median(rows):
    assert rows[0].seconds == 2.0
    assert rows[0].rates == [1.0, 2.0, 4.0]


def test_ratios_are_those_to_the_reference_and_stand_next_to_the_papers(rows):
    small, peer, failed = rows
    assert ratios(peer, small) == {
        "bytes_per_image": (pytest.approx(40), 8.6),
        "seconds": (4.0, 2.0),
        "published": (pytest.approx(1.5), 1.6),
        "strict": (0.5, None),
    }
    assert ratios(small, peer)["bytes_per_image"] == (pytest.approx(1 / 40), None)
    assert ratios(failed, small)["bytes_per_image"] == (None, None)
    reversible, plain = row("trev_ms_resnet34"), row("ms_resnet34")
    assert ratios(plain, reversible)["bytes_per_image"] == (None, pytest.approx(267 / 88))
    assert ratios(plain, reversible)["seconds"] == (None, pytest.approx(11.2 / 7.4))


def test_papers_speak_of_their_own_input_and_timesteps():
    assert row("sdt_8_512").paper is PUBLISHED["sdt_8_512"]
    assert row("trevsnn_small:packed").paper is None
    for other in ({"timesteps": 2}, {"size": (3, 32, 32)}):
        assert row("sdt_8_512", **other).paper is None
        assert ratios(row("sdt_8_512", **other), row("trevsnn_small"))["seconds"] == (None, None)


def test_the_tables(rows):
    measured, reported, against = comparison_tables(rows, rows[0])
    assert measured.rows[0] == {
        "method": "trevsnn_small",
        "accuracy": "",
        "parameters": "29.80",
        "timesteps": "4",
        "macs": "10,900",
        "memory": "25.7",
        "speed": "2 (1 to 4)",
        "rate": "8.40% assumed",
        "published": "2.800",
        "strict": "8.000",
    }
    assert "accuracy" not in measured.columns, "no method was trained"
    assert measured.columns["strict"] == "strict mJ"
    assert reported.rows[0] == {
        "method": "trevsnn_small",
        "parameters": "29.8 (1.00)",
        "memory": "85.7 (0.30)",
        "energy": "2.80",  # by a rate that is assumed to make just this
        "accuracy": "73.2%",
    }
    rows[1].assumed = False
    assert comparison_tables(rows, rows[0])[1].rows[1]["energy"] == "4.50 (0.93)"
    assert reported.rows[2]["energy"] == "4.04", "nothing was measured"
    assert against.rows[1] == {
        "method": "sdt_8_512",
        "bytes_per_image": "40.00 (paper 8.60)",
        "seconds": "4.00 (paper 2.00)",
        "published": "1.50 (paper 1.60)",
        "strict": "0.50",
    }
    papers, *others = notes(rows)
    assert "A100 GPUs in fp16; their memory is that of the whole GPU divided by the batch" in papers
    assert others == [
        "sew_resnet34-memopt1: SpikingJelly's memory optimisation at level 1",
        "sew_resnet34-memopt1: out of memory",
    ]
    lines = against.markdown().splitlines()
    assert lines[0] == "As a multiple of trevsnn_small's:"
    assert lines[5] == "| sdt_8_512 | 40.00 (paper 8.60) | 4.00 (paper 2.00) | 1.50 (paper 1.60) | 0.50 |"


def test_networks_without_a_paper_have_no_table_of_papers():
    digits = [row("trevsnn_digits", size=(1, 32, 32)), row("sdt_digits", size=(1, 32, 32))]
    assert [table.title for table in comparison_tables(digits, digits[0])] == [
        "Measured",
        "As a multiple of trevsnn_digits's",
    ]
    assert len(comparison_tables(digits[:1], digits[0])) == 1
    assert notes(digits) == []


def test_a_picture_of_what_there_is(rows):
    memory, speed, energy = comparison_picture(rows, "title").axes
    assert [label.get_text() for label in memory.get_yticklabels()] == [row.label for row in rows]
    assert [bar.get_width() for bar in memory.patches] == [25.71, 1028.4]
    assert list(memory.lines[0].get_xdata()) == [85.7], "the paper's"
    assert [bar.get_width() for bar in speed.patches] == [2.0, 0.5]
    assert [list(line.get_xdata()) for line in speed.lines] == [[1.0, 4.0], [0.5, 0.5]]
    assert [bar.get_width() for bar in energy.patches] == [2.8, 4.2, 8.0, 4.0], "published, then strict"
    assert list(energy.lines[0].get_xdata()) == [2.8, 4.5, 4.04]
    assert energy.get_xlabel() == "energy, mJ per image (lighter: strict)"
    for axes in comparison_picture(rows[2:], "title").axes:
        assert not axes.patches, "nothing was measured"


@pytest.mark.parametrize(("of_spikingjelly", "colour"), [(False, MAIN), (True, MUTED)])
def test_networks_of_spikingjelly_have_a_colour_of_their_own(of_spikingjelly, colour):
    run = row("runs/one", bytes_per_image=1e6, of_spikingjelly=of_spikingjelly)
    (bar,) = comparison_picture([run], "title").axes[0].patches
    assert to_hex(bar.get_facecolor()) == colour


def test_methods_are_measured_in_turns(monkeypatch):
    order = []

    def seconds(network, step):
        assert step.images.shape == (2, 1, 32, 32)
        order.append(type(network).__name__ + network.config.memory)
        return len(order)

    monkeypatch.setattr(comparison, "measure_memory", lambda network, step: 1000)
    monkeypatch.setattr(comparison, "measure_seconds", seconds)
    settings = [("trevsnn_digits", "packed"), ("trevsnn_digits", "reversible"), ("nothing", "")]
    rows = [Row(named_method(name, memory=memory, timesteps=2, firing_rate=0.1), 2) for name, memory in settings]
    measure(rows, CPU, "fp32", repeats=2)
    assert order == ["TRevSNNpacked", "TRevSNNreversible"] * 2
    packed, reversible, unknown = rows
    assert (packed.times, reversible.times) == ([1, 3], [2, 4])
    assert (packed.method.name, reversible.method.name) == ("trevsnn_digits:packed", "trevsnn_digits")
    model = create_model("trevsnn_digits", timesteps=2)
    assert packed.bytes_per_image == 500
    assert packed.parameters == parameter_counts(model)["deployed"]
    assert packed.macs == count_macs(model, (1, 32, 32))
    assert packed.firing_rate == pytest.approx(0.1)
    assert packed.assumed
    assert not packed.of_spikingjelly
    assert "model 'nothing' is unknown" in unknown.error
    assert unknown.times == []


def test_memory_optimised_by_spikingjelly():
    pytest.importorskip("spikingjelly")
    methods = [named_method("ms_resnet_digits", memopt=memopt, timesteps=2, resolution=16) for memopt in (False, True)]
    rows = [Row(method, 2) for method in methods]
    measure(rows, CPU, "fp32", repeats=1)
    plain, optimised = rows
    assert [row.error for row in rows] == [None, None]
    assert (plain.memopt_level, optimised.memopt_level) == (None, 1)
    assert optimised.bytes_per_image < plain.bytes_per_image
    assert (optimised.parameters, optimised.macs) == (plain.parameters, plain.macs)
    assert plain.input_size == (1, 16, 16)
    assert optimised.method.name == "ms_resnet_digits-memopt"
    assert plain.of_spikingjelly
