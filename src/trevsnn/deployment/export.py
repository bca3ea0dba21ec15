"""Files of a deployed network, one function per format; each folds the network itself and writes its file at once."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trevsnn._util.files import atomic_path
from trevsnn.choices import SpikeOp
from trevsnn.deployment.plan import Plan, plan_network
from trevsnn.models import WeightsInfo, fold, save_weights
from trevsnn.models.network import TRevSNN

METADATA_FILE = "metadata.json"
"""Inside a file of torch.export."""


def export_onnx(
    model: TRevSNN,
    path: str | Path,
    input_size: tuple[int, int],
    info: WeightsInfo | None = None,
    *,
    opset: int | None = None,
    spike_op: SpikeOp = "comparison",
    calibration: Iterable[Tensor] | None = None,
    also: Sequence[str] = (),
) -> None:
    """Write an ONNX file: input "input", image (N, in_chans, H, W) or clip (T, N, in_chans, H, W) with any N; output
    "logits", (N, num_classes).

    Args:
        model: the network, not folded.
        path: the file.
        input_size: height and width (pixels).
        info: becomes metadata; what the model knows of itself by default.
        opset: version of ONNX's operators; 18 by default.
        spike_op: "comparison", or "hard-sigmoid", which is the same in float32 and faster in ONNX Runtime (see
            `trevsnn.deployment.onnx_graph`).
        calibration: inputs of the network as it is trained on; with them, convolutions have 8 bits.
        also: more outputs: names of the plan's operations, `Plan.key_spikes` for example.

    Raises:
        ValueError: for an opset that is too old or too new, a part of the network that cannot be expressed, spikes that
            8 bits do not have, or without the package onnx.
        OSError: when the file cannot be written; an old one stays.
    """
    require_package("onnx", "onnx")
    from trevsnn.deployment.int8 import Int8Graph, observe
    from trevsnn.deployment.onnx_graph import DEFAULT_OPSET, OnnxGraph, check_opset, onnx_model

    opset = DEFAULT_OPSET if opset is None else opset
    check_opset(opset)
    if calibration is not None and spike_op != "comparison":
        raise ValueError(f"spike_op={spike_op!r} is for float32; leave it out with 8 bits")
    plan = plan_network(fold(model), *input_size)
    graph = OnnxGraph(spike_op) if calibration is None else Int8Graph(plan, observe(plan, calibration))
    file = onnx_model(plan, graph, opset=opset, metadata=metadata(info or model.described(), plan), also=also)
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(file.SerializeToString())


def export_program(
    model: TRevSNN, path: str | Path, input_size: tuple[int, int], info: WeightsInfo | None = None
) -> None:
    """Write a program of torch.export, for `torch.export.load`; input, output and metadata as in `export_onnx`.

    The metadata is the file `metadata.json` in it (`extra_files` of `torch.export.load`).

    Args:
        model: the network, not folded.
        path: the file, .pt2 by custom.
        input_size: height and width (pixels).
        info: becomes metadata; what the model knows of itself by default.

    Raises:
        ValueError: for a part of the network that cannot be expressed.
        OSError: when the file cannot be written; an old one stays.
    """
    from trevsnn.deployment.module import PlanModule

    plan = plan_network(fold(model), *input_size)
    example = torch.zeros(model.config.input_shape(2, *input_size))
    batch_dim = 1 if model.config.frames else 0
    dynamic = {"x": {batch_dim: torch.export.Dim("batch")}}
    program = torch.export.export(PlanModule(plan).eval(), (example,), dynamic_shapes=dynamic)
    extra = {METADATA_FILE: json.dumps(metadata(info or model.described(), plan))}
    with atomic_path(Path(path)) as temporary, temporary.open("wb") as file:
        torch.export.save(program, file, extra_files=extra)


def export_safetensors(model: TRevSNN, path: str | Path, info: WeightsInfo | None = None) -> None:
    """Write the folded weights, which `load_weights` and `create_model(checkpoint=...)` read as a folded network.

    Args:
        model: the network, not folded.
        path: the file.
        info: becomes metadata; what the model knows of itself by default.

    Raises:
        OSError: when the file cannot be written; an old one stays.
    """
    folded = fold(model)
    save_weights(folded, path, replace(info or model.described(), options=folded.described().options, folded=True))


def export_nir(model: TRevSNN, path: str | Path, input_size: tuple[int, int], info: WeightsInfo | None = None) -> None:
    """Write a graph of the Neuromorphic Intermediate Representation (see `trevsnn.deployment.nir_graph`). Experimental.

    Args:
        model: the network, not folded.
        path: the file, .nir by custom.
        input_size: height and width (pixels).
        info: becomes metadata; what the model knows of itself by default.

    Raises:
        ValueError: for a network that NIR has no words for (the message names what), or without the package nir.
        OSError: when the file cannot be written; an old one stays.
    """
    require_package("nir", "nir")
    import nir

    from trevsnn.deployment.nir_graph import nir_graph

    plan = plan_network(fold(model, merge_stem=False), *input_size)
    graph = nir_graph(plan, metadata(info or model.described(), plan))
    with atomic_path(Path(path)) as temporary:
        nir.write(temporary, graph)


def metadata(info: WeightsInfo, plan: Plan) -> dict[str, str]:
    """What a file says about its network; values that are not text are JSON."""
    described: dict[str, Any] = {
        "model": info.model,
        "input_size": json.dumps(plan.input_shape),
        "timesteps": json.dumps(info.options["timesteps"]),
        "dataset": info.dataset,
        "class_names": info.class_names and json.dumps(info.class_names),
        "preprocessing": info.preprocessing and json.dumps(info.preprocessing),
        "note": info.note,
    }
    return {name: value for name, value in described.items() if value is not None}


def require_package(name: str, extra: str) -> None:
    """Refuse to go on without an optional package.

    Raises:
        ValueError: when it is not installed.
    """
    if find_spec(name) is None:
        raise ValueError(f"the package {name!r} is not installed; install it: pip install 'trevsnn[{extra}]'")
