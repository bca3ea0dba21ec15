"""`trevsnn ablate`: what it takes."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from trevsnn.choices import Question
from trevsnn.cli.commands.light import light
from trevsnn.cli.help import training_app
from trevsnn.cli.parameters import FLAT, SEVERAL, JsonFile, Whole
from trevsnn.cli.settings import BaseOptions, base_settings_from_file


@light
def ablate(
    kind: str,
    /,
    *,
    dataset: str | None = None,
    output: Path = Path("runs/ablation"),
    recipe: str | None = None,
    questions: Annotated[tuple[Question, ...] | None, SEVERAL] = None,
    vary: Annotated[tuple[str, ...], Parameter(show_default=False)] = (),
    seeds: Annotated[tuple[Whole, ...], SEVERAL] = (0, 1, 2),
    json: JsonFile = None,
    settings: Annotated[BaseOptions, FLAT] = BaseOptions(),  # noqa: B008 (frozen)
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


app = training_app("ablate", ablate, base_settings_from_file)
