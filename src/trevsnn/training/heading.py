"""The first lines of a run: on what it trains what, from what, and where each of these was decided."""

import textwrap
from collections.abc import Iterable

from trevsnn.data import LabelledData, describe_data
from trevsnn.models import LoadReport
from trevsnn.models.tensor_names import in_groups
from trevsnn.training.config import SETTINGS
from trevsnn.training.learner import Learner
from trevsnn.training.origins import Origins, flag

WIDTH = 80
_LABEL = 16
_ON_OTHER_LINES = {"data", "model", "image_size", "weights"}


def describe_run(learner: Learner, dataset: LabelledData, origins: Origins | None = None) -> str:
    """The lines with which a run, its continuation or a dry run begins."""
    origins = origins or Origins()
    lines = [*_settings(origins), _model(learner, origins), _input(learner, origins)]
    if learner.load_report is not None:
        lines += _weights(learner, learner.load_report)
    lines += [("note", note) for note in (*origins.notes, *learner.notes)]
    if learner.left_over:
        lines.append(("note", learner.left_over))
    data = f"{'data':<{_LABEL}}{describe_data(dataset)}"
    return "\n".join([data, *(_line(label, text) for label, text in lines)])


def _settings(origins: Origins) -> list[tuple[str, str]]:
    given = [flag(name) for name in SETTINGS if name in origins.given - _ON_OTHER_LINES]
    text = "; ".join(part for part in (origins.file, f"with {' '.join(given)}" if given else "") if part)
    return [("settings", text)] if text else []


def _model(learner: Learner, origins: Origins) -> tuple[str, str]:
    return (
        "model",
        f"{learner.model_name} ({_who(learner, origins, 'model')}), {learner.learned_parameters:,} parameters",
    )


def _input(learner: Learner, origins: Origins) -> tuple[str, str]:
    size = " x ".join(map(str, learner.preprocessing.input_size))
    return "input", f"{size} ({_who(learner, origins, 'image_size')})"


def _who(learner: Learner, origins: Origins, field: str) -> str:
    return learner.decided.get(field) or origins.of(field) or "as given"


def _weights(learner: Learner, report: LoadReport) -> Iterable[tuple[str, str]]:
    info = learner.weights_info
    assert info is not None, "as there is a report"
    trained = f", of {info.dataset}" if info.dataset else ""
    if info.preprocessing and "input_size" in info.preprocessing:
        trained += " at " + " x ".join(map(str, info.preprocessing["input_size"]))
    yield "weights", f"{learner.config.weights}{trained}"
    own = report.loaded + report.replaced + report.missing
    yield "  loaded", f"{len(report.loaded)} of {len(own)} tensors"
    for label, names, why in (
        ("  new", report.replaced, "of another shape, or for other classes"),
        ("  new", report.missing, "not in the file"),
    ):
        if names:
            yield label, f"{', '.join(in_groups(names, own))}: {why}"
    if report.unknown:
        yield "  left out", f"{', '.join(in_groups(report.unknown, [*report.unknown, *own]))}: in the file only"
    if report.channels is not None:
        before, after = report.channels
        how = f"summed over the {before} channels" if after == 1 else f"spread over {after} channels"
        yield "  fitted", f"the first convolution's kernels are {how}"


def _line(label: str, text: str) -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=label.ljust(_LABEL),
        subsequent_indent=" " * _LABEL,
        break_long_words=False,
        break_on_hyphens=False,
    )
