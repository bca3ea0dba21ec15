"""`trevsnn ablate`."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from cyclopts import App, ArgumentCollection, CycloptsError, Parameter

from trevsnn._util.files import write_text
from trevsnn._util.suggest import suggest
from trevsnn.cli.output import JsonFile, check_json, plain_console, show_data, show_table, with_data, write_json
from trevsnn.cli.settings import dataset_name, origins, settings_from_file
from trevsnn.costs.machine import describe, named_values
from trevsnn.data import load_dataset
from trevsnn.studies.ablation import QUESTIONS, AblationRuns, Question, plan_ablation
from trevsnn.studies.ablation_table import COLUMNS, in_words, markdown_page, table_rows
from trevsnn.training import NonFiniteError, StoppedError, TrainConfig, choose_device
from trevsnn.training.config import Whole

OF_THE_DATA = ("data", "val_split", "sensor_size")


@dataclass(frozen=True, kw_only=True)
class BaseSettings(TrainConfig):
    """Settings of all runs; the seed is the grid's."""

    seed: Annotated[Whole, Parameter(show=False)] = 0


def base_settings_from_file(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """As `settings_from_file`; a seed in the file is left aside, one on the command line refused."""
    if arguments["--seed"].tokens:
        raise ValueError("--seed is for one run; give --seeds, one or several")
    settings_from_file(app, commands, arguments)


def ablate(
    kind: str,
    /,
    *,
    dataset: str | None = None,
    output: Path = Path("runs/ablation"),
    recipe: str | None = None,
    questions: Annotated[tuple[Question, ...] | None, Parameter(consume_multiple=True)] = None,
    vary: Annotated[tuple[str, ...], Parameter(show_default=False)] = (),
    seeds: Annotated[tuple[Whole, ...], Parameter(consume_multiple=True)] = (0, 1, 2),
    json: JsonFile = None,
    settings: Annotated[BaseSettings, Parameter(name="*")] = BaseSettings(),
) -> None:
    """Train networks that differ from a base in one setting, with several seeds, and tell what each is worth.

    The runs stand in OUTPUT/VARIANT/seed-SEED, and the table in OUTPUT/ablation.md and .json, up to date after every
    run. The same command goes on where it was stopped. A run that diverges is noted in the table, the others go on, and
    the exit code is 2 in the end.

    Args:
        kind: Kind of data, as for train.
        dataset: Which recordings, of events, as for train.
        output: Folder for the runs and the table.
        recipe: Settings of the base, a recipe's name or a TOML file; other options override it. By default the data
            set's own.
        questions: The paper's questions to ask, by default all that data and network can have, and with --vary none.
            With timesteps, the total depth stays that of the base.
        vary: A question of one's own: an option of train and its values, kernel-size=3,5 or 'channels=8 16,16 32' for
            example. Can be repeated.
        seeds: Seeds of the runs.
        json: Also write the table to this file.
    """
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
    console = plain_console()
    for note in origins.get().notes:
        console.print(f"note: {note}", soft_wrap=True)
    for question, why in ablation.left_out.items():
        console.print(f"question {question} is left out: {why}", soft_wrap=True)
    machine = named_values(describe(choose_device(settings.device)))
    rows = []
    with the_same_command_goes_on():
        for _ in runs.train(console):
            rows = table_rows(runs)
            write_text(output / "ablation.md", markdown_page(runs, rows, machine))
            write_json(with_data(rows, data), output / "ablation.json")
    write_json(with_data(rows, data), json)
    show_table([in_words(row) for row in rows], COLUMNS)
    console.print(f"table  {output / 'ablation.md'}", soft_wrap=True)
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
        ValueError: for what is no field of one run's settings, or no value of it.
    """
    hints = get_type_hints(TrainConfig, include_extras=True)
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
