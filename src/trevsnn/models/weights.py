"""Weights on disk: safetensors with what is needed to build and use the network in the metadata."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_model
from torch import nn

from trevsnn._util.files import atomic_path
from trevsnn._util.suggest import in_a_line
from trevsnn.models.config import BaseConfig
from trevsnn.models.file_kind import describe_file

FORMAT_VERSION = "1"
WEIGHTS_FILE = "model.safetensors"
"""Of a run, and of a network on the hub, in its folder."""


@dataclass(frozen=True, kw_only=True)
class WeightsInfo:
    """What a weights file says about its network."""

    model: str
    """Name of the network, as `create_model` knows it."""
    options: dict[str, Any]
    """Options of `create_model`."""
    dataset: str | None = None
    """Data set it was trained on."""
    class_names: tuple[str, ...] | None = None
    """A name per class."""
    preprocessing: dict[str, Any] | None = None
    """How pictures become inputs, in timm's words (see `trevsnn.data.Preprocessing`)."""
    note: str | None = None
    """How these weights came to be, in words."""
    folded: bool = False
    """Whether the weights are those of the deployed network, which `fold()` returns."""


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """What became of the tensors of a network and of a weights file."""

    loaded: list[str] = field(default_factory=list)
    """Taken from the file."""
    replaced: list[str] = field(default_factory=list)
    """In both, but left as they were in the network: other shapes or other classes."""
    missing: list[str] = field(default_factory=list)
    """In the network only."""
    unknown: list[str] = field(default_factory=list)
    """In the file only."""
    channels: tuple[int, int] | None = None
    """Of the images that the file's first convolution is for, and of those that it was made to fit."""


def describe_tensors(report: LoadReport) -> str:
    """What became of every tensor of --weights, a line each."""
    rows = [
        *(("loaded", name) for name in report.loaded),
        *(("new, of another shape or for other classes", name) for name in report.replaced),
        *(("new, not in the file", name) for name in report.missing),
        *(("left out, in the file only", name) for name in report.unknown),
    ]
    return "\n".join(f"{name}: {what}" for what, name in rows)


def save_weights(model: nn.Module, path: str | Path, info: WeightsInfo) -> None:
    """Write the weights and their description; parameters that subnetworks share are written once.

    Raises:
        OSError: when the file cannot be written; an old one stays.
    """
    metadata = {
        "format": "pt",
        "trevsnn_format": FORMAT_VERSION,
        "model": info.model,
        "options": json.dumps(info.options),
    }
    if info.dataset is not None:
        metadata["dataset"] = info.dataset
    if info.note is not None:
        metadata["note"] = info.note
    if info.folded:
        metadata["folded"] = "true"
    for name in ("class_names", "preprocessing"):
        if getattr(info, name) is not None:
            metadata[name] = json.dumps(getattr(info, name))
    with atomic_path(Path(path)) as temporary:
        try:
            save_model(model, str(temporary), metadata)
        except SafetensorError as error:
            raise OSError(f"{str(path)!r} cannot be written, an old one stays: {error}") from error
        _sort_metadata(temporary)


def _sort_metadata(path: Path) -> None:
    """Equal weights make equal files: safetensors writes the metadata in a random order."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        assert len(text) <= size, "the same text in another order"
        file.seek(8)
        file.write(text.ljust(size))


def weights_info(name: str, config: BaseConfig, **about: Any) -> WeightsInfo:
    """The description of a network; `about` are the remaining fields of `WeightsInfo`."""
    return WeightsInfo(model=name, options=asdict(config), **about)


def weights_file(path: str | Path) -> Path:
    """The weights that a path stands for: the file itself, or those in the folder of a run (after its last epoch) or
    of a network that was saved or downloaded.

    Raises:
        ValueError: when there are none.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise ValueError(f"weights {str(path)!r} {'is a dead link' if path.is_symlink() else 'does not exist'}")
    if not path.is_dir():
        return path
    file = path / WEIGHTS_FILE
    if file.exists():
        return file
    if (path / "config.toml").exists():
        raise ValueError(
            f"run {str(path)!r} has not finished an epoch; continue it with --resume {shlex.quote(str(path))}"
        )
    near = chain(
        [path.parent / WEIGHTS_FILE], *(path.glob(f"{folder}/{WEIGHTS_FILE}") for folder in ("*", "snapshots/*"))
    )
    hint = next((f"; did you mean {str(file.parent)!r}?" for file in near if file.is_file()), "")
    others = [p.name for p in sorted(path.iterdir()) if p.suffix in (".bin", ".pt", ".pth", ".ckpt", ".safetensors")]
    if not hint and others:
        hint = f"; give a file in it, {others[0]!r} for example, if that has the weights"
    raise ValueError(f"{str(path)!r} is not a run folder: it has no {WEIGHTS_FILE}{hint}")


def read_weights_info(path: str | Path) -> WeightsInfo:
    """The description in a weights file.

    Raises:
        ValueError: when the file does not exist, is cut off or was not written by `save_weights`.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"weights file {str(path)!r} {'is not a file' if path.exists() else 'does not exist'}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise _no_weights(path, error) from error
    if "trevsnn_format" not in metadata:
        raise ValueError(f"{str(path)!r} was not written by trevsnn: it {describe_file(path)}")
    if metadata["trevsnn_format"] != FORMAT_VERSION:
        raise ValueError(
            f"{str(path)!r} has format {metadata['trevsnn_format']}, this trevsnn reads {FORMAT_VERSION}; update it"
        )
    try:
        options, class_names, preprocessing = (
            json.loads(metadata.get(name, "null")) for name in ("options", "class_names", "preprocessing")
        )
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{str(path)!r} has metadata that cannot be read: {error}") from error
    if "model" not in metadata or not isinstance(options, dict):
        raise ValueError(f"{str(path)!r} does not say which network it is of: 'model' or 'options' is missing")
    if class_names is not None:
        if not isinstance(class_names, list) or not all(isinstance(name, str) for name in class_names):
            raise ValueError(f"{str(path)!r} has class_names that are not a list of names")
        if len(class_names) != options.get("num_classes"):
            raise ValueError(
                f"{str(path)!r} has {len(class_names)} class_names for num_classes={options.get('num_classes')}"
            )
        class_names = tuple(class_names)
    if preprocessing is not None and not isinstance(preprocessing, dict):
        raise ValueError(f"{str(path)!r} has preprocessing {preprocessing!r}, which is none")
    return WeightsInfo(
        model=metadata["model"],
        options=options,
        dataset=metadata.get("dataset"),
        class_names=class_names,
        preprocessing=preprocessing,
        note=metadata.get("note"),
        folded=metadata.get("folded") == "true",
    )


def _no_weights(path: Path, error: Exception) -> ValueError:
    """That safetensors cannot read a file, with what it is."""
    try:
        kind = describe_file(path)
    except OSError as failure:
        return ValueError(f"{str(path)!r} cannot be read: {failure.strerror}")
    if kind.name in ("unknown", "safetensors"):
        return ValueError(f"{str(path)!r} is cut off or no safetensors file: {in_a_line(error)}")
    return ValueError(f"{str(path)!r} {kind}")


def load_tensors_into(
    model: nn.Module, path: str | Path, *, except_for: tuple[str, ...] = (), adapt: bool = False
) -> LoadReport:
    """Copy what fits from a weights file into a network; a parameter that subnetworks share stands in the file once.

    Args:
        model: the network.
        path: the file.
        except_for: leave tensors alone whose names begin so, the classifiers' for example.
        adapt: make the first convolution fit images of one channel in place of several, or the other way: it does with
            grey images what it did.

    Raises:
        ValueError: when the file cannot be read.
    """
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise _no_weights(Path(path), error) from error
    own = model.state_dict()
    channels = _fit_channels(model, own, tensors) if adapt else None
    report = LoadReport(unknown=sorted(tensors.keys() - own.keys()), channels=channels)
    written = set()
    for name in own.keys() & tensors.keys():
        like = own[name].shape == tensors[name].shape and not tensors[name].is_complex()
        if not like or name.startswith(except_for):
            report.replaced.append(name)
        else:
            with torch.no_grad():
                own[name].copy_(tensors[name])
            report.loaded.append(name)
        written.add(_place(own[name]))
    report.missing.extend(name for name, tensor in own.items() if name not in tensors and _place(tensor) not in written)
    for names in (report.loaded, report.replaced, report.missing):
        names.sort()
    return report


def _fit_channels(
    model: nn.Module, own: Mapping[str, torch.Tensor], tensors: dict[str, torch.Tensor]
) -> tuple[int, int] | None:
    """Make the first convolution in `tensors` one for as many channels as the network's, where one of them is 1.

    From several to one its kernels are summed over the channels; from one to several they are spread evenly. A gain
    that multiplies standardised kernels makes up for their new deviation and number of taps.

    Returns:
        The number of channels before and after; None where nothing had to be done, or cannot be.
    """
    name: str = getattr(model, "default_cfg", {}).get("first_conv", "")
    weight, like = tensors.get(f"{name}.weight"), own.get(f"{name}.weight")
    if weight is None or like is None or weight.dim() != 4 or weight.shape[1] == like.shape[1]:
        return None
    before, after = weight.shape[1], like.shape[1]
    if 1 not in (before, after) or weight.shape[0] != like.shape[0] or weight.shape[2:] != like.shape[2:]:
        return None
    fitting = weight.sum(1, keepdim=True) if after == 1 else weight.expand_as(like).contiguous() / after
    if (gain := tensors.get(f"{name}.gain")) is not None:
        eps: Any = model.get_submodule(name).eps  # as the layer standardises
        variances = [w.flatten(1).var(1, correction=0) + eps for w in (weight, fitting)]
        factor = (variances[1] / variances[0] * (after / before)).sqrt()
        tensors[f"{name}.gain"] = gain * factor.view_as(gain)
    tensors[f"{name}.weight"] = fitting
    return before, after


def _place(tensor: torch.Tensor) -> tuple[int, int]:
    return tensor.data_ptr(), tensor.numel()
