"""What a choice is worth: networks that differ from a base in one setting, each trained with several seeds.

A question is a setting of `TrainConfig` and the values to try. The base, which has one of them, is trained once for all
questions. Every training is an ordinary run in a folder of its own, so a grid that stopped goes on where it stopped.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

from rich.console import Console

from trevsnn.choices import Question
from trevsnn.data import LabelledData
from trevsnn.models import NetworkConfig
from trevsnn.training.config import TrainConfig
from trevsnn.training.errors import NonFiniteError
from trevsnn.training.learner import Learner
from trevsnn.training.loop import train
from trevsnn.training.run_folder import RunFolder
from trevsnn.training.run_state import FREE_TO_CHANGE, describe_change

QUESTIONS: Mapping[str, tuple[Any, ...]] = {
    **dict.fromkeys(get_args(Question), (True, False)),
    "timesteps": (1, 2, 4, 8),
    "input_encoding": ("shared", "grouped"),
}
"""The paper's. A T-RevSNN of other timesteps keeps the total depth of the base, not its number of parameters."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A network of the grid and how it is trained."""

    name: str
    """Of its folder."""
    config: TrainConfig
    """All settings but the seed."""
    parameters: int
    """Number of learned ones."""


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """What is to be trained."""

    base: Variant
    questions: Mapping[str, Mapping[str, Variant]]
    """For each field the variants by its value in words; one of them is the base."""
    left_out: Mapping[str, str]
    """Questions that data or network cannot have, and why."""

    @property
    def variants(self) -> list[Variant]:
        """Each once, the base first."""
        others = (variant for variants in self.questions.values() for variant in variants.values())
        return list({variant.name: variant for variant in (self.base, *others)}.values())


def plan_ablation(
    base: TrainConfig, dataset: LabelledData, questions: Mapping[str, Sequence[Any]], *, optional: bool = False
) -> Ablation:
    """The variants of one question at a time, each built once to see that it can be trained.

    A question with no other value than the base's is the base alone, with all seeds.

    Args:
        base: the settings that all have in common.
        dataset: what to train on.
        questions: settings of `TrainConfig` by name, and the values that they shall have.
        optional: leave out a question with a value that data or network cannot have.

    Raises:
        ValueError: for settings that cannot work, or when no question is left.
    """
    learner = Learner(base, dataset)
    asked = {}
    left_out = {}
    reference = variant_of("base", learner)
    for field, values in questions.items():
        own = _own_value(learner, field)
        asked[field] = {}
        try:
            for value in values if own in values else (own, *values):
                text = _in_words(value)
                asked[field][text] = reference
                if value != own:
                    name = f"{field}-{quote(text.replace(' ', '-'), safe='')}"
                    asked[field][text] = variant_of(name, Learner(_changed(base, learner, field, value), dataset))
        except ValueError as error:
            if not optional:
                raise ValueError(f"question {field}: {error}") from error
            left_out[field] = str(error)
            del asked[field]
    if not asked:
        raise ValueError("no question can be asked of this network on these data; give --vary OPTION=VALUE,VALUE")
    return Ablation(base=reference, questions=asked, left_out=left_out)


def variant_of(name: str, learner: Learner) -> Variant:
    """The network that a learner trains, by this name."""
    return Variant(name=name, config=learner.config, parameters=learner.learned_parameters)


def _changed(base: TrainConfig, learner: Learner, field: str, value: Any) -> TrainConfig:
    changes = {field: value}
    network = learner.model.config
    if field == "timesteps" and isinstance(network, NetworkConfig):
        changes["depth"] = sum(network.blocks_per_cell)
    return base.changed(**changes)


def _own_value(learner: Learner, field: str) -> Any:
    """The value that a field has, also where the data set or the network decides it."""
    if field == "model":
        return learner.model_name
    value = learner.config.by_name().get(field)
    return getattr(learner.model.config, field, None) if value is None else value


def _in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "default" if value is None else str(value)


class AblationRuns:
    """The runs of an ablation, in OUTPUT/VARIANT/seed-SEED.

    Args:
        ablation: what is to be trained.
        dataset: on what.
        output: the folder.
        seeds: of each variant, one run each.

    Raises:
        ValueError: for seeds that are none, or that stand there twice.
    """

    def __init__(self, ablation: Ablation, dataset: LabelledData, output: Path, seeds: Sequence[int]):
        if not seeds or len(set(seeds)) < len(seeds):
            raise ValueError(f"seeds={tuple(seeds)} must be at least one seed, each once; give --seeds 0 1 2")
        self.ablation = ablation
        self.dataset = dataset
        self.output = output
        self.seeds = tuple(seeds)
        self.runs = [(variant, seed) for seed in seeds for variant in ablation.variants]
        self.failures: dict[tuple[str, int], str] = {}
        """What the runs that diverged said, by name of the variant and seed."""

    def folder(self, variant: Variant, seed: int) -> RunFolder:
        """Of one run."""
        return RunFolder(self.output / variant.name / f"seed-{seed}")

    def check(self) -> None:
        """Refuse seeds out of range, and folders that hold something else than a run of these settings.

        Raises:
            ValueError: naming the folder, and the setting that differs.
        """
        for variant, seed in self.runs:
            config = replace(variant.config, seed=seed)
            run = self.folder(variant, seed)
            if not run.holds_run():
                run.check_free(overwrite=False)
                continue
            dataset, values = run.read_config()
            before = TrainConfig(**{"model": self.dataset.model, **values})  # which older runs leave to their data
            change = describe_change(before, config, FREE_TO_CHANGE - {"weights"})
            if dataset != self.dataset.name:
                change = f"it was started with dataset={dataset!r}, not {self.dataset.name!r}"
            if change:
                raise ValueError(
                    f"{str(run.path)!r} holds another run: {change}; leave that, or choose another --output"
                )

    def accuracy(self, variant: Variant, seed: int) -> float | None:
        """That on the test images after the last epoch (0 to 1); None before."""
        history = self.folder(variant, seed).read_metrics()
        return history[-1]["test_accuracy"] if len(history) == variant.config.epochs else None

    def train(self, console: Console) -> Iterator[None]:
        """Train what is not trained yet, all variants with the first seed, then with the next; halts after each run.

        One that diverges is noted, and the others go on. The next time it is tried again.

        Errors are those of `trevsnn.training.train`, NonFiniteError aside.
        """
        for number, (variant, seed) in enumerate(self.runs, 1):
            run = self.folder(variant, seed)
            done = self.accuracy(variant, seed) is not None
            about = f"run {number} of {len(self.runs)}: {variant.name}, seed {seed}"
            console.print(about + (", trained before" if done else ""), soft_wrap=True)
            if not done:
                config = replace(variant.config, seed=seed)
                begun = run.holds_run()
                try:
                    train(config, self.dataset, run, resume=begun, console=console)
                except NonFiniteError as error:
                    self.failures[variant.name, seed] = str(error)
                    console.print(f"warning: {error}", soft_wrap=True)
            yield
