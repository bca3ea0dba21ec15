"""Methods of training a spiking network side by side: size, operations, memory, speed and energy, measured."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median

import torch
from torch import nn

from trevsnn.costs.energy import CONVENTIONS, PAPER, layer_costs, mean_firing_rate, totals
from trevsnn.costs.operations import Operations, assume_operations
from trevsnn.costs.timed_step import (
    TrainingStep,
    failures_in,
    measure_memory,
    measure_seconds,
    memory_limit,
    move_to_cpu,
)
from trevsnn.models import SpikingNetwork, create_model, parameter_counts
from trevsnn.models.baselines import SpikingJellyNetwork
from trevsnn.models.baselines.memopt import SEARCH_LIMIT, optimise_memory
from trevsnn.studies.checkpointed import checkpointed
from trevsnn.studies.papers import FIRING_RATE, INPUT_SIZE, PUBLISHED, TIMESTEPS, Published, published_ratio
from trevsnn.studies.plain_network import plain
from trevsnn.training import intermediate_supervision_loss
from trevsnn.training.precision import Precision

InputSize = tuple[int, int, int]

MEMOPT = "-memopt"
"""What the name of a method ends with whose memory SpikingJelly optimises."""
REVERSIBLE = ":reversible"
FORMS: dict[str, Callable[[SpikingNetwork], nn.Module]] = {"checkpointed": checkpointed, "plain": plain}
"""Other ways to train a network of this library, by what follows its name in place of a memory setting."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A network and how it is trained."""

    name: str
    build: Callable[[], tuple[SpikingNetwork, InputSize]]
    """A new network and the size of its input."""
    count: Callable[[SpikingNetwork, InputSize], Operations]
    """Its operations."""
    accuracy: float | None = None
    """On its test images, 0 to 1; None for a network that is not trained."""
    form: str = ""
    """Of `FORMS`, or empty."""
    memopt: bool = False
    """Whether SpikingJelly optimises its memory."""
    memopt_level: int | None = None
    """To what level; None for the highest that its search allows."""
    search_limit: float = SEARCH_LIMIT
    """Longest time to search for a plan (s)."""


def named_method(
    network: str,
    *,
    memory: str = "",
    memopt: bool = False,
    memopt_level: int | None = None,
    search_limit: float = SEARCH_LIMIT,
    timesteps: int,
    resolution: int | None = None,
    firing_rate: float = FIRING_RATE,
) -> Method:
    """An untrained network by name.

    Args:
        network: its name.
        memory: a memory setting, or one of `FORMS`; its own where empty. Not for SpikingJelly's networks.
        memopt: have SpikingJelly optimise the memory of one of its networks.
        memopt_level: to this level, 1 to 4; by default the highest that its search allows.
        search_limit: longest time to search for a plan (s).
        timesteps: T.
        resolution: height and width of the images (pixels); the network's own by default.
        firing_rate: assumed of every neuron for the operations, 0 to 1.
    """
    form = memory if memory in FORMS else ""

    def build() -> tuple[SpikingNetwork, InputSize]:
        options = {"memory": memory} if memory and not form else {}
        model = create_model(network, timesteps=timesteps, **options)
        size: InputSize = model.default_cfg["input_size"]  # type: ignore[index]
        return model, size if resolution is None else (size[0], resolution, resolution)

    name = network + (f":{memory}" if memory else "") + (f"{MEMOPT}{memopt_level or ''}" if memopt else "")
    return Method(
        name=name.removesuffix(REVERSIBLE),
        build=build,
        count=partial(assume_operations, firing_rate=firing_rate),
        form=form,
        memopt=memopt,
        memopt_level=memopt_level,
        search_limit=search_limit,
    )


@dataclass
class Row:
    """What was measured of one method; None where nothing was."""

    method: Method
    batch: int
    """Images of a training step."""
    of_spikingjelly: bool = False
    """Whether the network is one of SpikingJelly's."""
    timesteps: int | None = None
    input_size: InputSize | None = None
    parameters: int | None = None
    """Of inference, a head that folds counted once."""
    macs: int | None = None
    """Multiply-accumulates of the inference of one image, all steps (see `trevsnn.costs.operations`)."""
    firing_rate: float | None = None
    """Mean (see `mean_firing_rate`)."""
    assumed: bool = False
    """Whether this rate is not measured."""
    energy: Mapping[str, float] = field(default_factory=dict)
    """Of the inference of one image by convention (pJ)."""
    memopt_level: int | None = None
    """Of SpikingJelly's memory optimisation."""
    bytes_per_image: float | None = None
    """Peak of one training step, divided by the batch."""
    times: list[float] = field(default_factory=list)
    """Of one training step (s), a value per repeat."""
    error: str | None = None
    """Why figures are missing, in a line."""

    @property
    def label(self) -> str:
        """Name of the method, with the level of its memory optimisation."""
        found = "" if self.memopt_level is None or self.method.memopt_level else str(self.memopt_level)
        return self.method.name + found

    @property
    def seconds(self) -> float | None:
        """Median time of a training step."""
        return median(self.times) if self.times else None

    @property
    def rates(self) -> list[float]:
        """Images/s of each repeat, lowest first."""
        return sorted(self.batch / seconds for seconds in self.times)

    @property
    def paper(self) -> Published | None:
        """What is reported of it, for the same input and number of steps."""
        same = (self.input_size, self.timesteps) == (INPUT_SIZE, TIMESTEPS)
        return PUBLISHED.get(self.method.name) if same else None


def ratios(row: Row, reference: Row) -> dict[str, tuple[float | None, float | None]]:
    """For each quantity: ours divided by the reference's, and the same ratio from the papers."""
    compared = {name: (getattr(row, name), getattr(reference, name)) for name in ("bytes_per_image", "seconds")}
    compared |= {name: (row.energy.get(name), reference.energy.get(name)) for name in CONVENTIONS}
    found = {}
    for name, (ours, theirs) in compared.items():
        paper = None
        if row.paper and reference.paper and name not in CONVENTIONS.keys() - {PAPER}:
            reported = "energy" if name == PAPER else name
            paper = published_ratio(reported, row.method.name, reference.method.name)
        found[name] = ours / theirs if ours is not None and theirs else None, paper
    return found


def measure(
    rows: Sequence[Row],
    device: torch.device,
    precision: Precision,
    repeats: int,
    progress: Callable[[Iterable[Row], str], Iterable[Row]] = lambda rows, what: rows,
    save: Callable[[], None] = lambda: None,
) -> None:
    """Fill the rows: first the sizes, energy and memory of each, then turns at timing.

    The step is the same for all: forward pass, the loss of all classifiers' cross-entropies, backward pass, on random
    images or clips. What fails becomes the error of its row, and what a row already has is not measured again.

    Args:
        rows: to fill, as far as it gets.
        device: where to train.
        precision: of the step.
        repeats: timed visits to each method.
        progress: passes rows on and shows how far they are.
        save: is called whenever there is a new figure.
    """
    prepared: dict[int, tuple[nn.Module, TrainingStep]] = {}
    for row in progress(rows, "sizes, energy, memory"):
        if len(row.times) < repeats:
            with memory_limit(device), failures_in(row):
                prepared[id(row)] = _prepare(row, device, precision)
            save()
    for repeat in range(repeats):
        for row in progress(rows, f"timing {repeat + 1} of {repeats}"):
            if row.error is None and len(row.times) <= repeat:
                with memory_limit(device), failures_in(row):
                    row.times.append(measure_seconds(*prepared[id(row)]))
                save()


def _prepare(row: Row, device: torch.device, precision: Precision) -> tuple[nn.Module, TrainingStep]:
    """The network, waiting to be timed, and its step; sizes, energy and memory come into the row."""
    torch.manual_seed(0)
    model, size = row.method.build()
    model.set_intermediate_supervision()
    row.of_spikingjelly = isinstance(model, SpikingJellyNetwork)
    row.timesteps = model.config.timesteps
    row.input_size = size
    row.parameters = parameter_counts(model)["deployed"]
    _count(row, model.to(device), size)
    images = torch.randn(model.config.input_shape(row.batch, *size[1:]))
    labels = torch.arange(row.batch) % model.num_classes
    step = TrainingStep(images.to(device), labels.to(device), precision, intermediate_supervision_loss)
    network: nn.Module = model
    if row.method.form:
        network = FORMS[row.method.form](model)
    elif row.method.memopt:
        network, row.memopt_level = _optimised(row.method, step)
    move_to_cpu(network.train())
    if row.bytes_per_image is None:
        row.bytes_per_image = measure_memory(network, step) / row.batch
    return network, step


def _count(row: Row, model: SpikingNetwork, size: InputSize) -> None:
    operations = row.method.count(model, size)
    costs = layer_costs(operations)
    row.assumed = not operations.images
    row.macs = sum(cost.layer.macs for cost in costs)
    row.firing_rate = mean_firing_rate(costs)
    row.energy = {name: cost.energy for name, cost in totals(costs).items()}


def _optimised(method: Method, step: TrainingStep) -> tuple[SpikingNetwork, int]:
    """The network at its level, or at the highest whose search, which needs CUDA, finds a plan in time."""
    levels = (4, 3, 2, 1) if step.device.type == "cuda" else (1,)
    for level in levels if method.memopt_level is None else (method.memopt_level,):
        model = method.build()[0].to(step.device)
        try:
            optimise_memory(model, step.forward, level, method.search_limit)
        except (RuntimeError, TimeoutError):
            if level > 1 and method.memopt_level is None:
                continue
            raise
        return model, level
    raise AssertionError("the last level returns or raises")
