"""What a figure has to be read with: the machine and the versions it was measured on."""

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch


def processor() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def describe(device: torch.device) -> dict[str, Any]:
    """Name of the device, threads, and versions; None for a package that is not installed."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return {
        "device": name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "spikingjelly": _version("spikingjelly"),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def named_values(machine: Mapping[str, Any]) -> str:
    """What `describe` returns as a line, without what is not installed."""
    return ", ".join(f"{name} {value}" for name, value in machine.items() if value is not None)
