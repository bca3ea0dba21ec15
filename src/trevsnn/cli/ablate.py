"""`trevsnn ablate`."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import make_dataclass
from pathlib import Path
from typing import Any

from cyclopts import App, CycloptsError

from trevsnn._util.files import write_text
from trevsnn._util.suggest import suggest
from trevsnn.choices import Question
from trevsnn.cli.found_data import show_data, with_data
from trevsnn.cli.output import check_json, plain_console, say, show_table, write_json
from trevsnn.cli.settings import dataset_name, option_types, origins
from trevsnn.costs.machine import describe, named_values
from trevsnn.data import load_dataset
from trevsnn.studies.ablation import QUESTIONS, AblationRuns, plan_ablation
from trevsnn.studies.ablation_table import COLUMNS, in_words, markdown_page, table_rows
from trevsnn.training import NonFiniteError, StoppedError, TrainConfig, choose_device

OF_THE_DATA = ("data", "val_split", "sensor_size")


def ablate(
    kind: str,
    /,
    *,
    dataset: str | None,
    output: Path = Path("runs/ablation"),
    recipe: str | None,
    questions: tuple[Question, ...] | None,
    vary: tuple[str, ...],
    seeds: tuple[int, ...],
    json: Path | None,
    settings: TrainConfig,
) -> None:
    """See `trevsnn.cli.commands.ablate`."""
    check_json(json)
    if "WORLD_SIZE" in os.environ:
        raise ValueError("trevsnn ablate runs in one process; start it without torchrun")
    own = _own_questions(vary)
    name = dataset_name(kind, dataset)
    data = load_dataset(name, settings.data, settings.val_split, settings.sensor_size)
    show_data(data)
    asked = {question: QUESTIONS[question] for question in QUESTIONS if question in (questions or ())} | own
    ablation = plan_ablation(settings, data, asked or QUESTIONS, optional=not asked)
    runs = AblationRuns(ablation, data, output, seeds)
    runs.check()
    say(*(f"note: {note}" for note in origins.get().notes))
    say(*(f"question {question} is left out: {why}" for question, why in ablation.left_out.items()))
    machine = named_values(describe(choose_device(settings.device)))
    rows = []
    with the_same_command_goes_on():
        for _ in runs.train(plain_console()):
            rows = table_rows(runs)
            write_text(output / "ablation.md", markdown_page(runs, rows, machine))
            write_json(with_data(rows, data), output / "ablation.json")
    write_json(with_data(rows, data), json)
    show_table([in_words(row) for row in rows], COLUMNS)
    say(f"table  {output / 'ablation.md'}")
    if runs.failures:
        raise NonFiniteError(
            f"{len(runs.failures)} of {len(runs.runs)} runs diverged; {output / 'ablation.md'} says how"
        )


@contextmanager
def the_same_command_goes_on() -> Iterator[None]:
    """Let an interruption say so."""
    try:
        yield
    except (KeyboardInterrupt, StoppedError) as stop:
        stop.args = ("the same command goes on",)
        raise


def _own_questions(vary: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """The values of each field that --vary gives.

    Raises:
        ValueError: for what is not a field of one run's settings, or no value of it.
    """
    hints = option_types()
    questions: dict[str, tuple[Any, ...]] = {}
    for text in vary:
        name, _, values = text.partition("=")
        field = name.replace("-", "_")
        if field not in hints:
            raise ValueError(f"vary={text!r} must be OPTION=VALUE,VALUE,...: {suggest(field, list(hints))}")
        if field == "seed":
            raise ValueError(f"vary={text!r}: every variant is trained with all seeds; give --seeds")
        if field in OF_THE_DATA:
            raise ValueError(f"vary={text!r}: all runs are on the same data; start one command for each")
        try:
            read = tuple(_read(field, hints[field], value) for value in values.split(","))
        except CycloptsError as error:
            raise ValueError(f"vary={text!r}: {error}") from error
        questions[field] = questions.get(field, ()) + read
    return questions


def _read(field: str, hint: Any, text: str) -> Any:
    """A value as the command line of train reads it."""
    option = make_dataclass("Option", [(field, hint)], kw_only=True)
    first, *others = text.split() or [""]
    tokens = [f"--{field.replace('_', '-')}={first}", *others]
    app = App(default_command=option, help_flags=(), version_flags=())
    return getattr(app(tokens, exit_on_error=False, print_error=False, result_action="return_value"), field)
