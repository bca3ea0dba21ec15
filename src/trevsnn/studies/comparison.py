"""Methods of training a spiking network side by side: size, operations, memory, speed and energy, measured."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median

import torch

from trevsnn.costs.energy import CONVENTIONS, PAPER, layer_costs, mean_firing_rate, totals
from trevsnn.costs.operations import Operations, assume_operations
from trevsnn.costs.timed_step import Subject, Task, failures_in, measure_memory, measure_seconds, room
from trevsnn.models import SpikingNetwork, create_model, parameter_counts
from trevsnn.models.baselines import SpikingJellyNetwork
from trevsnn.models.baselines.memopt import optimise_memory
from trevsnn.studies.papers import INPUT_SIZE, PUBLISHED, TIMESTEPS, Published, published_ratio
from trevsnn.training import intermediate_supervision_loss
from trevsnn.training.precision import Precision

InputSize = tuple[int, int, int]

FIRING_RATE = 0.084
"""That makes the published 2.8 mJ of trevsnn_small."""
MEMOPT = "-memopt"
"""What the name of a method ends with whose memory SpikingJelly optimises."""
REVERSIBLE = ":reversible"


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
    memopt: bool = False
    """Whether SpikingJelly optimises its memory."""


def named_method(
    network: str,
    *,
    memory: str = "",
    memopt: bool = False,
    timesteps: int,
    resolution: int | None = None,
    firing_rate: float = FIRING_RATE,
) -> Method:
    """An untrained network by name.

    Args:
        network: its name.
        memory: a memory setting, its own where empty; not for SpikingJelly's networks.
        memopt: have SpikingJelly optimise the memory of one of its networks.
        timesteps: T.
        resolution: height and width of the images (pixels); the network's own by default.
        firing_rate: assumed of every neuron for the operations, 0 to 1.
    """

    def build() -> tuple[SpikingNetwork, InputSize]:
        model = create_model(network, timesteps=timesteps, **({"memory": memory} if memory else {}))
        size: InputSize = model.default_cfg["input_size"]  # type: ignore[index]
        return model, size if resolution is None else (size[0], resolution, resolution)

    name = network + (f":{memory}" if memory else "") + (MEMOPT if memopt else "")
    count = partial(assume_operations, firing_rate=firing_rate)
    return Method(name=name.removesuffix(REVERSIBLE), build=build, count=count, memopt=memopt)


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
        return self.method.name + ("" if self.memopt_level is None else str(self.memopt_level))

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
) -> None:
    """Fill the rows: first the sizes, energy and memory of each, then turns at timing.

    The step is the same for all: forward pass, the loss of all classifiers' cross-entropies, backward pass, on random
    images or clips. What fails becomes the error of its row.

    Args:
        rows: to fill, as far as it gets.
        device: where to train.
        precision: of the step.
        repeats: timed visits to each method.
        progress: passes rows on and shows how far they are.
    """
    subjects: dict[int, tuple[Subject, Task]] = {}
    for row in progress(rows, "sizes, energy, memory"):
        with room(device), failures_in(row):
            torch.manual_seed(0)
            model, size = row.method.build()
            row.of_spikingjelly = isinstance(model, SpikingJellyNetwork)
            row.timesteps, row.input_size = model.config.timesteps, size
            row.parameters = parameter_counts(model)["deployed"]
            _count(row, model.to(device), size)
            images = torch.randn(model.config.input_shape(row.batch, *size[1:]))
            labels = torch.arange(row.batch) % model.num_classes
            task = Task(images.to(device), labels.to(device), precision)
            subject = _prepare(row, model, task)
            row.bytes_per_image = measure_memory(subject, task) / row.batch
            subjects[id(row)] = subject, task
    for repeat in range(repeats):
        for row in progress(rows, f"timing {repeat + 1} of {repeats}"):
            if row.error is None:
                with room(device), failures_in(row):
                    row.times.append(measure_seconds(*subjects[id(row)]))


def _count(row: Row, model: SpikingNetwork, size: InputSize) -> None:
    operations = row.method.count(model, size)
    costs, row.assumed = layer_costs(operations), not operations.images
    row.macs = sum(cost.layer.macs for cost in costs)
    row.firing_rate = mean_firing_rate(costs)
    row.energy = {name: cost.energy for name, cost in totals(costs).items()}


def _prepare(row: Row, model: SpikingNetwork, task: Task) -> Subject:
    """The network ready for training, its memory optimised if so the method goes."""
    if row.method.memopt:
        model, row.memopt_level = _optimised(row.method, task)
    subject = Subject(model.train(), intermediate_supervision_loss)
    subject.park()
    return subject


def _optimised(method: Method, task: Task) -> tuple[SpikingNetwork, int]:
    """The network at the highest level that its search allows: it needs CUDA, and finds a plan in time or does not."""

    def forward(model: torch.nn.Module) -> torch.Tensor:
        with task.autocast():
            return model(task.images)

    for level in (4, 3, 2, 1) if task.device.type == "cuda" else (1,):
        model = method.build()[0].to(task.device)
        try:
            optimise_memory(model, forward, level)
        except (RuntimeError, TimeoutError):
            if level > 1:
                continue
            raise
        return model, level
    raise AssertionError("the last level returns or raises")
