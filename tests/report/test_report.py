import base64
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console

from trevsnn.costs.energy import CONVENTIONS, Convention, Cost
from trevsnn.data import BadImages, load_dataset
from trevsnn.data.loading import Batch
from trevsnn.models import create_model, weights_info
from trevsnn.report import figures
from trevsnn.report.findings import TrainedRun, find, memory_of_steps, spike_maps
from trevsnn.report.page import render
from trevsnn.report.potentials import BINS, EDGES, LOW, Potentials
from trevsnn.reversible import StepState
from trevsnn.training import TrainConfig


def images(model, count):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(model.config.input_shape(count, 32, 32), generator=generator)


@pytest.fixture(params=["trevsnn_digits", "trevsnn_dvs"])
def model(request):
    torch.manual_seed(0)
    return create_model(request.param, num_classes=10, channels=(4, 4, 8, 8), timesteps=2).eval()


@torch.no_grad()
def test_histograms_are_those_of_all_potentials_together(model):
    counted, seen = Potentials.none(2, 4), {}

    def note(state):
        for level, v in enumerate(state.membranes):
            seen.setdefault((state.t, level), []).append(v.flatten())

    with model.grid.observe(counted.add), model.grid.observe(note):
        for count in (3, 1):
            model(images(model, count))
    for (t, level), parts in seen.items():
        v = torch.cat(parts)
        expected, _ = np.histogram(v.double().numpy(), EDGES.numpy())
        assert counted.counts[t, level].tolist() == expected.tolist()
        assert counted.firing_rate[t, level] == (v >= 0.5).float().mean()
        assert counted.window_share[t, level] == ((v >= 0) & (v <= 1)).float().mean()


def test_potentials_on_and_beyond_the_edges():
    v = torch.tensor([[-1e9, 0.0, 0.5, 1.0, 1e9, float("inf"), float("nan")]])
    below = torch.nextafter(torch.tensor([[0.0, 0.5, 1.0]]), torch.tensor(-1.0))
    counted = Potentials.none(1, 2)
    counted.add(StepState(0, [v, below], []))
    first, second = counted.counts[0]
    assert first.sum() == 7
    assert (first[0], first[BINS - 1]) == (2, 2)
    zero = -LOW * (BINS // (-2 * LOW))
    assert EDGES[zero] == 0
    assert [first[zero], first[zero + 8], first[zero + 16]] == [1, 1, 1]
    assert [second[zero - 1], second[zero + 7], second[zero + 15]] == [1, 1, 1]
    assert counted.in_window.tolist() == [[3, 2]]


@pytest.mark.parametrize("width", [0.05, 1.0, 40.0])
def test_drawn_part_of_a_histogram(width):
    v = width * torch.randn(2, 100_000, generator=torch.Generator().manual_seed(0))
    counted = Potentials.none(2, 1)
    for t in range(2):
        counted.add(StepState(t, [v[t : t + 1]], []))
    density, edges = figures._histogram(counted.counts[:, 0].double())
    assert len(edges) == density.shape[1] + 1 <= 130 if width < 40 else len(edges) < 700
    assert 0.5 in edges
    assert edges[0] <= -0.5
    assert edges[-1] >= 1.5
    np.testing.assert_allclose((density * np.diff(edges)).sum(1), 1, atol=0.004)


def test_maps_show_the_share_of_channels_that_fire(model):
    x, states = images(model, 3), []
    with torch.no_grad(), model.grid.observe(states.append):
        probabilities = model(x).softmax(1)
    shown = spike_maps(model, Batch(x, torch.tensor([4, 5, 6]), []), BadImages())
    assert [one.label for one in shown] == [4, 5, 6]
    for i, one in enumerate(shown):
        assert torch.equal(one.pixels, x[:, i] if model.config.frames else x[i])
        torch.testing.assert_close(one.probabilities, probabilities[i])
        for t, level in np.ndindex(2, 4):
            fires = (states[t].membranes[level][i] >= 0.5).float()
            torch.testing.assert_close(one.maps[t][level], fires.mean(0))
    assert spike_maps(model, Batch(torch.empty(0), torch.empty(0), ["x"]), BadImages(skip=True)) == []


@pytest.fixture(scope="module")
def run():
    torch.manual_seed(0)
    dataset = load_dataset("digits")
    assert dataset.preprocessing is not None
    model = create_model("trevsnn_digits", num_classes=10, in_chans=1, channels=(4, 4, 8, 8), timesteps=2)
    row = {"epoch": 1, "loss": 2.0, "lr": 0.1, "test_loss": 2.0, "test_accuracy": 0.125, "images_per_second": 10.0}
    row["seconds"] = 3723.0
    return TrainedRun(
        name="run",
        weights="model.safetensors",
        info=weights_info("trevsnn_digits", model.config),
        model=model,
        preprocessing=dataset.preprocessing,
        dataset=dataset,
        config=TrainConfig(batch_size=4),
        history=[row],
    )


@pytest.fixture(scope="module")
def findings(run):
    return find(run, images=20, workers=0, bad=BadImages(), console=Console())


def test_measured_on_as_many_images_as_wanted(run, findings):
    assert findings.evaluation.images == findings.energy_images == 20
    maps = [8 * 8, 4 * 4, 2 * 2, 2 * 2]
    neurons = [[20 * c * size for c, size in zip((4, 4, 8, 8), maps, strict=True)]] * 2
    assert findings.potentials.total.tolist() == neurons
    assert len(findings.shown) == 4
    assert list(findings.memory) == ["reversible", "packed", "stored"]
    reversible, *_, stored = findings.memory.values()
    assert reversible.batch == findings.memory_batch == 4
    assert reversible.total < stored.total
    weights = {name: weight.clone() for name, weight in run.model.state_dict().items()}
    find(run, images=1, workers=0, bad=BadImages(), console=Console())
    assert all(torch.equal(weight, weights[name]) for name, weight in run.model.state_dict().items())


def test_memory_of_a_large_batch_follows_from_small_ones(run, findings, monkeypatch):
    config = replace(run.config, batch_size=64)

    def measured():
        return memory_of_steps(run.model, 64, (32, 32), config, Console())

    (whole, batches), (least, most) = measured(), (0.8, 1.2)
    assert batches == (64,)
    assert {step.batch for step in whole.values() if step} == {64}
    monkeypatch.setattr("trevsnn.report.findings.MOST_BYTES", max(step.step for step in whole.values()) / 2)
    drawn, (half, twice) = measured()
    assert twice == 2 * half < 64
    for setting, step in drawn.items():
        assert step is not None
        assert step.batch == 64
        assert least < step.total / whole[setting].total < most
    page = render(run, replace(findings, memory=drawn, memory_batch=64, memory_measured=(half, twice)))
    assert f"64 inputs of 32 x 32, fp32, on the CPU, about, by a line through steps of {half} and {twice}<" in page


def test_time_and_steps(run, findings):
    page = render(run, findings)
    assert ">training time</th><td>1:02:03, tests aside</td>" in page
    assert '<th scope="col">step 0</th><th scope="col">step 1</th><th scope="col">in the window</th>' in page
    assert "step 2" not in page


def test_a_new_convention_is_on_the_page(run, findings, monkeypatch):
    monkeypatch.setitem(CONVENTIONS, "dense", Convention("every layer multiplies", lambda chain, rate: []))
    costs = [replace(cost, by={**cost.by, "dense": Cost(cost.layer.macs)}) for cost in findings.costs]
    page = render(run, replace(findings, costs=costs))
    assert "where that takes less. Dense: every layer multiplies.</p>" in page
    assert page.count('<th scope="col">dense (µJ)</th>') == 2
    assert re.search(r"<td>[\d.]+ µJ published, [\d.]+ µJ strict, [\d.]+ µJ dense</td>", page)


def svg_of(picture):
    return base64.b64decode(picture.uri.split(",")[1]).decode()


def test_curves_have_labels(run):
    for label in ("learning rate", "test accuracy, %"):
        assert f">{label}<" in svg_of(figures.curve(run.history, "test_accuracy", "x", label))
    assert ": 12.5 % after" in figures.curve(run.history, "test_accuracy", "x", "test accuracy, %").alt


@pytest.mark.parametrize("steps", [1, 4, 8, 20])
def test_every_histogram_is_named(steps):
    potentials, generator = Potentials.none(steps, 1), torch.Generator().manual_seed(0)
    for t in range(steps):
        potentials.add(StepState(t, [torch.randn(2, 3, 8, 8, generator=generator)], []))
    svg = svg_of(figures.potentials(potentials, 0))
    if steps <= 8:
        assert [t for t in range(25) if f">step {t}<" in svg] == list(range(steps))
    else:
        assert ">step<" in svg, "the label of a colour scale"


def test_no_image(run):
    with pytest.raises(ValueError, match="images=0 must be at least 1"):
        find(run, images=0, workers=0, bad=BadImages(), console=Console())


def test_names_are_text_and_no_markup(run, findings):
    names = ("<script>alert(1)</script>", '"><b>', "$x_{$", "&amp;", "\u65e5\u672c", "x" * 300, *"6789")
    odd = replace(run, name="<i>run</i>", dataset=replace(run.dataset, class_names=names))
    page = render(odd, findings)
    assert "<script" not in page
    assert "<i>" not in page
    assert "<b>" not in page
    assert "&lt;i&gt;run&lt;/i&gt;" in page
    svg = base64.b64decode(figures.confusion(findings.evaluation.confusion, names).uri.split(",")[1]).decode()
    assert "&lt;script&gt;" in svg
    assert "$x_{$" in svg
    assert "\u65e5\u672c" in svg


def test_memory_that_is_not_there(run, findings):
    page = render(run, replace(findings, memory=findings.memory | {"stored": None}, shown=[]))
    assert "out of memory" in page
    assert "Spike maps" not in page


@pytest.mark.parametrize("classes", [2, 40, 1000])
def test_confusion_of_any_number_of_classes(classes):
    counts = torch.eye(classes, dtype=torch.long)
    picture = figures.confusion(counts, [f"class {i}" for i in range(classes)])
    assert len(picture.uri) < 1e6
    assert picture.wide == (classes == 40)
    assert (picture.inches < 3) == (classes == 2), "no larger than its numbers need"
    assert f"{classes} of {classes} images" in picture.alt


def test_ids_of_figures_are_their_own(run, findings):
    page = render(run, findings)
    assert page.count("<svg") == 0, "each figure is a document of its own"
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
