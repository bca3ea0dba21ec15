"""A new convention is one entry of a table: everything that shows energy shows it, too."""

import json

import pytest

from trevsnn._util.units import unit_of
from trevsnn.cli import main
from trevsnn.costs.energy import CONVENTIONS, Convention, Cost, layer_costs
from trevsnn.costs.operations import assume_operations
from trevsnn.models import create_model
from trevsnn.report import figures
from trevsnn.studies.comparison import Method, Row
from trevsnn.studies.comparison_picture import comparison_picture
from trevsnn.studies.comparison_tables import comparison_tables


@pytest.fixture(autouse=True)
def _dense(monkeypatch):
    """Every layer multiplies, as in an ordinary network."""
    costs = Convention("every layer multiplies", lambda chain, rate: [Cost(layer.macs) for layer in chain.layers])
    monkeypatch.setitem(CONVENTIONS, "dense", costs)


@pytest.fixture(scope="module")
def model():
    return create_model("trevsnn_digits")


def test_every_layer_has_it(model):
    for cost in layer_costs(assume_operations(model, (1, 32, 32), 0.1)):
        assert cost.by["dense"] == Cost(cost.layer.macs)
        assert list(cost.by) == ["published", "strict", "dense"]


@pytest.mark.parametrize("option", ["--layers", "--plot"])
def test_the_energy_command_shows_it(option, tmp_path, capsys):
    file, picture = tmp_path / "x.json", tmp_path / "x.png"
    options = [option, str(picture)] if option == "--plot" else [option]
    assert main(["energy", "trevsnn_digits", "--firing-rate", "0.1", "--json", str(file), *options]) == 0
    *_, row = json.loads(file.read_text())
    energy = row["dense_energy" if option == "--layers" else "dense"]
    assert energy == pytest.approx(4.6 * row["macs"])
    text = capsys.readouterr().out
    assert f"dense {unit_of(row['published_energy' if option == '--layers' else 'published'])[0]}" in text
    assert f"{energy / 1e6:,.3f}" in text


def test_the_comparison_shows_it():
    energy = {"published": 1e9, "strict": 2e9, "dense": 8e9}
    rows = [Row(Method(name=name, build=None, count=None), 4, energy=energy) for name in "ab"]
    measured, against = comparison_tables(rows, rows[0])
    assert (measured.columns["dense"], measured.rows[0]["dense"]) == ("dense mJ", "8.000")
    assert (against.columns["dense"], against.rows[1]["dense"]) == ("energy, dense", "1.00")
    axes = comparison_picture(rows, "").axes[2]
    assert axes.get_xlabel() == "energy, mJ per image (lighter: strict, dense)"
    assert [bar.get_width() for bar in axes.patches] == [1, 1, 2, 2, 8, 8]


def test_the_report_draws_it(model):
    costs = layer_costs(assume_operations(model, (1, 32, 32), 0.1))
    assert " dense" in figures.energy({"all": costs}).alt
