"""The table of an ablation, from the runs that are finished: as rows, in words and as a Markdown page.

Accuracies are those after the last epoch, never the best one's. A difference to the base is taken seed by seed: what
both owe to the seed, the order of the images for one, is not in its spread.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from trevsnn._util.table import Table
from trevsnn.data import FramePreprocessing
from trevsnn.studies.ablation import AblationRuns
from trevsnn.training.config import dump_config

COLUMNS = {
    "question": "question",
    "setting": "setting",
    "mean": "test accuracy",
    "range": "accuracy, lowest to highest",
    "difference": "against base (points)",
    "difference_range": "points, lowest to highest",
    "parameters": "parameters",
    "seeds": "seeds",
}
"""Heading of each entry that `in_words` makes."""


def summarise(accuracies: Mapping[int, float], base: Mapping[int, float]) -> dict[str, float | None]:
    """Mean, lowest and highest of the accuracies, and of what they are above the base's.

    Args:
        accuracies: by seed, 0 to 1.
        base: the base's; a seed that only one of them has is in no difference.

    Returns:
        `mean`, `lowest`, `highest` and the same of `difference`, as shares; None where there is no seed.
    """
    differences = [accuracies[seed] - base[seed] for seed in accuracies if seed in base]
    summary = {}
    for prefix, values in (("", list(accuracies.values())), ("difference_", differences)):
        for name, function in (("mean", fmean), ("lowest", min), ("highest", max)):
            summary[prefix + name] = function(values) if values else None
    return summary


def table_rows(runs: AblationRuns) -> list[dict[str, Any]]:
    """A row per question and setting, ready for JSON: names, parameters, accuracy (None: not yet, or diverged) and
    failure by seed, and what `summarise` returns; the base is compared with nothing."""
    rows = []
    ablation = runs.ablation
    finished = {
        variant.name: {seed: x for seed in runs.seeds if (x := runs.accuracy(variant, seed)) is not None}
        for variant in ablation.variants
    }
    for question, variants in ablation.questions.items():
        for setting, variant in variants.items():
            own = finished[variant.name]
            base = {} if variant is ablation.base else finished[ablation.base.name]
            rows.append(
                {
                    "question": question,
                    "setting": setting,
                    "variant": variant.name,
                    "parameters": variant.parameters,
                    "accuracies": {seed: own.get(seed) for seed in runs.seeds},
                    "failures": {seed: line for (name, seed), line in runs.failures.items() if name == variant.name},
                    **summarise(own, base),
                }
            )
    return rows


def in_words(row: Mapping[str, Any]) -> dict[str, str]:
    """A row of `table_rows` as `COLUMNS` shows it."""
    accuracies = row["accuracies"].values()
    failed = len(row["failures"])
    is_base = row["variant"] == "base"
    finished = sum(accuracy is not None for accuracy in accuracies)
    return {
        "question": row["question"],
        "setting": row["setting"] + (" (base)" if is_base else ""),
        "mean": _share(row["mean"]),
        "range": f"{_share(row['lowest'])} to {_share(row['highest'])}" if finished else "",
        "difference": _points(row["difference_mean"]),
        "difference_range": _points(row["difference_lowest"], row["difference_highest"]),
        "parameters": f"{row['parameters']:,}",
        "seeds": f"{finished} of {len(accuracies)}" + (f", {failed} diverged" if failed else ""),
    }


def markdown_page(runs: AblationRuns, rows: Sequence[Mapping[str, Any]], machine: str) -> str:
    """The table as a page, with what is needed to read it and to make it again.

    Args:
        runs: the runs of the ablation.
        rows: from `table_rows`.
        machine: on what it was trained, in words.
    """
    dataset = runs.dataset
    base = runs.ablation.base
    split = f" ({dataset.split})" if dataset.split else ""
    things = "recordings" if isinstance(dataset.preprocessing, FramePreprocessing) else "images"
    settings = dump_config(dataset.name, base.config).splitlines()
    lines = [
        f"# Ablation on {dataset.name}",
        "",
        f"Accuracy on {len(dataset.test):,} test {things}{split} after the last epoch, never the best one: mean,",
        f"lowest and highest of {_seeds(runs.seeds)}, and the difference to the base, seed by seed.",
        f"The base is {base.config.model or dataset.model}.",
        "",
        Table("", COLUMNS, [in_words(row) for row in rows]).markdown(),
        "",
        *(f"- {name}, seed {seed}: {line}" for (name, seed), line in runs.failures.items()),
        *(f"- {field} is left out: {why}" for field, why in runs.ablation.left_out.items()),
        "",
        f"Trained on: {machine}. Settings of the base:",
        "",
        "```toml",
        *(line for line in settings if not line.startswith("seed = ")),
        "```",
    ]
    return "\n".join(lines) + "\n"


def _seeds(seeds: Sequence[int]) -> str:
    """In words.

    Examples:
        >>> _seeds((0,)), _seeds((0, 1, 2))
        ('the runs with seed 0 alone', 'the runs with the seeds 0, 1 and 2')
    """
    *others, last = map(str, seeds)
    return f"the runs with the seeds {', '.join(others)} and {last}" if others else f"the runs with seed {last} alone"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"


def _points(*shares: float | None) -> str:
    return " to ".join(f"{100 * share:+.2f}" for share in shares if share is not None)
