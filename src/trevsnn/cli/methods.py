"""What `trevsnn compare` compares: methods by the names that the command line gives them."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from trevsnn._util.suggest import suggest
from trevsnn.cli.energy import IMAGES
from trevsnn.cli.open_run import load_data, load_trained
from trevsnn.costs.operations import Operations, measure_operations
from trevsnn.data import LabelledData, default_workers, evaluation_batches
from trevsnn.data.splitting import spread
from trevsnn.models import SpikingNetwork, list_models
from trevsnn.models.baselines import BASELINES
from trevsnn.reversible import check_memory
from trevsnn.studies.comparison import FORMS, MEMOPT, InputSize, Method, Row, named_method
from trevsnn.training import RunFolder


def cases_of(
    names: Sequence[str], batches: Sequence[int], timesteps: Sequence[int], make: Callable[[str, int], Method]
) -> list[list[Row]]:
    """The rows of each batch size and T.

    Args:
        names: networks by name, or runs, which have a T of their own and are in the first case of a batch size.
        batches: images in a step.
        timesteps: T.
        make: the method of a name at a T.
    """
    cases = []
    for batch in batches:
        for steps in timesteps:
            case = []
            for name in names:
                is_run = not _is_network(name)
                if not is_run or steps == timesteps[0]:
                    case.append(Row(make(name, steps), batch, timesteps=None if is_run else steps))
            if case:
                cases.append(case)
    return cases


def _parts(name: str) -> tuple[str, str, str]:
    """Network, memory setting or form, and what follows -memopt; of a name without that, -."""
    match = re.fullmatch(rf"(?P<network>.*?)(?:{MEMOPT}(?P<level>[1-4]?))?", name)
    assert match is not None
    network, _, memory = match["network"].partition(":")
    return network, memory, "-" if match["level"] is None else match["level"]


def _is_network(name: str) -> bool:
    return _parts(name)[0] in (*list_models(), *BASELINES)


def method_of(name: str, timesteps: int, data: dict[str, LabelledData], **options: Any) -> Method:
    """A run, whose data set comes into `data`, or an untrained network with further options of `named_method`.

    Raises:
        ValueError: when it is neither, or its options do not fit; a network that a package is missing for comes to
            nothing later.
    """
    network, memory, level = _parts(name)
    if not _is_network(name):
        if not Path(name).exists():
            raise ValueError(f"{name!r} is neither a run nor a network; {suggest(network, list_models())}")
        return _run(name, data)
    if level != "-" and network not in BASELINES:
        raise ValueError(f"{name!r}: {MEMOPT} is for SpikingJelly's networks, {', '.join(BASELINES)}")
    if memory:
        if network in BASELINES:
            raise ValueError(f"{name!r}: a memory setting is not for SpikingJelly's networks; leave :{memory} out")
        if memory not in FORMS:
            check_memory(memory)
    method = named_method(
        network,
        memory=memory,
        memopt=level != "-",
        memopt_level=int(level) if level.isdigit() else None,
        timesteps=timesteps,
        **options,
    )
    if network in list_models():
        with torch.device("meta"):
            model, size = method.build()
            model.check_input(torch.empty(model.config.input_shape(1, *size[1:])))
            if memory in FORMS:
                FORMS[memory](model)
    return method


def _run(folder: str, data: dict[str, LabelledData]) -> Method:
    """What a run left, its energy and rates measured on test images."""
    trained = load_trained(Path(folder), torch.device("cpu"))
    dataset = data[folder] = load_data(trained, None, None)
    history = RunFolder(folder).read_metrics() if Path(folder).is_dir() else []

    def count(model: SpikingNetwork, size: InputSize) -> Operations:
        samples = spread(dataset.test, IMAGES)
        workers = default_workers(dataset.in_memory)
        return measure_operations(model, evaluation_batches(samples, trained.preprocessing, workers=workers))

    return Method(
        name=folder,
        build=lambda: (trained.model, trained.preprocessing.input_size),
        count=count,
        accuracy=history[-1]["test_accuracy"] if history else None,
    )
