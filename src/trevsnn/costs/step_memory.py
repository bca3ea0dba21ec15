"""Where the bytes of one training step go, measured.

A step is run twice: once to count its highest allocation (`trevsnn.costs.peak_memory`), once watching every
tensor that it makes, to see which of them the backward pass will still need when the forward pass is over.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, get_args

import torch
from timm.optim import create_optimizer_v2
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from trevsnn.costs.peak_memory import peak_bytes
from trevsnn.models import TRevSNN
from trevsnn.training import intermediate_supervision_loss
from trevsnn.training.precision import Precision, autocast

PARTS = {
    "parameters": "parameters",
    "gradients": "gradients",
    "optimizer": "optimizer",
    "key_states": "key states",
    "saved_bits": "saved bits",
    "activations": "other activations",
    "transient": "transient peak",
    "total": "total",
    "per_image": "step, per image",
}
"""What a table of `StepMemory` says, by attribute."""


@dataclass(frozen=True, kw_only=True)
class StepMemory:
    """Bytes of one training step."""

    batch: int
    """Images in the step."""
    parameters: int
    """Parameters and buffers."""
    gradients: int
    """One per learned parameter."""
    optimizer: int
    """What the optimizer keeps from step to step."""
    key_states: int
    """Membrane potentials of the key neurons that the backward pass needs."""
    saved_bits: int
    """Spikes, surrogate windows and codes that it needs: tensors of bytes."""
    activations: int
    """Everything else that it needs."""
    transient: int
    """What the worst moment of the step holds on top of all these."""

    @property
    def step(self) -> int:
        """Highest allocation of the step itself; it grows with the batch."""
        return self.key_states + self.saved_bits + self.activations + self.transient

    @property
    def per_image(self) -> float:
        """`step`, shared among the images."""
        return self.step / self.batch

    @property
    def total(self) -> int:
        """Bytes that a device must have."""
        return self.parameters + self.gradients + self.optimizer + self.step

    def at(self, batch: int, other: "StepMemory") -> "StepMemory":
        """With a batch of this size, by a line through this step and another one."""
        far = (batch - self.batch) / (other.batch - self.batch)
        parts = {
            name: round(getattr(self, name) + far * (getattr(other, name) - getattr(self, name)))
            for name in ("key_states", "saved_bits", "activations", "transient")
        }
        return replace(self, batch=batch, **parts)


def measure_step(
    model: TRevSNN,
    batch: int,
    resolution: int | tuple[int, int],
    precision: Precision = "fp32",
    optimizer: str = "adamw",
) -> StepMemory:
    """Train a network for two steps on random images or clips, on the device that it is on; its weights change.

    Args:
        batch: images.
        resolution: their height and width (pixels), one number where they are the same.
        precision: bf16 and fp16 are autocast.
        optimizer: timm's name of one.

    Raises:
        ValueError: for a batch or resolution that cannot be, or another precision.
    """
    if batch < 1:
        raise ValueError(f"batch={batch} must be at least 1 image")
    height, width = (resolution, resolution) if isinstance(resolution, int) else resolution
    if min(height, width) < 1:
        raise ValueError(f"resolution={resolution} must be at least 1 pixel")
    if precision not in get_args(Precision):
        raise ValueError(f"precision={precision!r} is unknown; choose from {', '.join(get_args(Precision))}")
    device = next(model.parameters()).device
    images = torch.randn(model.config.input_shape(batch, height, width), device=device)
    labels = torch.zeros(batch, dtype=torch.long, device=device)
    model.train().set_intermediate_supervision()
    for p in model.parameters():
        p.grad = torch.zeros_like(p) if p.requires_grad else None

    def loss() -> Tensor:
        with autocast(precision, device):
            return intermediate_supervision_loss(model(images), labels, 0.1)

    key_states, saved_bits, activations = _kept(model, loss)
    update = create_optimizer_v2(model, opt=optimizer, lr=1e-3)
    update.step()  # with the gradients of 0 that are there; it now has its states
    peak = peak_bytes(lambda: loss().backward(), device)
    return StepMemory(
        batch=batch,
        parameters=_bytes([*model.parameters(), *model.buffers()]),
        gradients=_bytes([p.grad for p in model.parameters()]),
        optimizer=_bytes([x for state in update.state.values() for x in state.values()]),
        key_states=key_states,
        saved_bits=saved_bits,
        activations=activations,
        transient=max(0, peak - key_states - saved_bits - activations),
    )


def largest_batch(smaller: StepMemory, larger: StepMemory, budget: int) -> int:
    """The most images whose step fits a budget (bytes), by a line through two measured steps; 0 for none."""
    slope = (larger.step - smaller.step) / (larger.batch - smaller.batch)
    fixed = smaller.total - slope * smaller.batch
    return max(0, int((budget - fixed) / slope))


def _kept(model: TRevSNN, loss: Callable[[], Tensor]) -> tuple[int, int, int]:
    """Bytes of potentials, of bytes and of other tensors that live between the forward and the backward pass."""
    potentials: list[StorageWeakRef] = []

    def note(tensors: list[Tensor]) -> None:
        potentials.extend(StorageWeakRef(x.untyped_storage()) for x in tensors)

    with _Storages() as made, model.grid.observe(lambda state: note([*state.membranes, *state.shadows])):
        result = loss()
        alive = {ref.cdata: made.found[ref.cdata][1:] for ref, *_ in made.found.values() if not ref.expired()}
    keys = {ref.cdata for ref in potentials if not ref.expired()}
    totals = {"keys": 0, "bits": 0, "others": 0}
    for address, (size, dtype) in alive.items():
        kind = "keys" if address in keys else "bits" if dtype in (torch.uint8, torch.bool) else "others"
        totals[kind] += size
    del result
    return totals["keys"], totals["bits"], totals["others"]


class _Storages(TorchDispatchMode):
    """Notes the memory of every tensor that an operator makes: a weak reference, bytes, dtype."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[int, tuple[StorageWeakRef, int, torch.dtype]] = {}
        self._before: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for x in tree_leaves((args, kwargs)):
            if isinstance(x, Tensor) and (address := x.untyped_storage()._cdata) not in self.found:
                self._before.add(address)
        result = func(*args, **(kwargs or {}))
        for x in tree_leaves(result):
            if isinstance(x, Tensor):
                storage = x.untyped_storage()
                if storage._cdata not in self._before:
                    self.found[storage._cdata] = StorageWeakRef(storage), storage.nbytes(), x.dtype
        return result


def _bytes(tensors: list[Any]) -> int:
    return sum(x.nbytes for x in tensors if isinstance(x, Tensor))
