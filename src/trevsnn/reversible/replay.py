"""Running a module without keeping its activations: it runs again in the backward pass.

PyTorch's non-reentrant checkpoint does the recomputation and restores its random state and autocast. What it leaves to
its caller is the module's own state (`trevsnn.reversible.state`), which must read the same in the second run as in the
first and change only once, and the question whether the second run gave the same result (`trevsnn.reversible.guard`).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from trevsnn.reversible.guard import Kept, ReplayError, Watch
from trevsnn.reversible.state import ModuleState


class ReplayableModule:
    """A module's call that can be repeated: every call after the first sees the state that the first one saw.

    Later calls change no state of the module. A result that is one tensor is compared with the first one's in the
    backward pass.

    Args:
        module: to be called.
        name: what to call it in messages.
        watched: whether to compare.

    Raises:
        ReplayError: on a later call, when a parameter or a buffer was changed in place since the first, or the call
            keeps other values for its gradients; in the backward pass, when it gave another result.
    """

    def __init__(self, module: nn.Module, name: str | None = None, watched: bool = True):
        self.module = module
        self.name = name or type(module).__name__
        self.watched = watched
        self._state: ModuleState | None = None
        self._kept: Kept | None = None  # by the first run

    @property
    def replaying(self) -> bool:
        """Whether the first call is over."""
        return self._state is not None

    def __call__(self, *args: Any) -> Any:
        if torch.compiler.is_compiling():  # the compiler plans the second run itself, and changes no state twice
            return self.module(*args)
        replaying = self.replaying
        output = self._again(*args) if replaying else self._first(*args)
        if self.watched and isinstance(output, Tensor):
            return Watch.apply(output, self.name, replaying)
        return output

    def _first(self, *args: Any) -> Any:
        state = ModuleState(self.module)
        if self.watched and not state.lazy:  # it is another module afterwards
            self._kept = Kept(compared=state.foreign)
        output = self._watching(self._kept, *args)
        state.forget_unchanged()
        self._state = state
        return output

    def _again(self, *args: Any) -> Any:
        assert self._state is not None, "the first call is over"
        kept = Kept(self._kept) if self.watched else None
        with self._state.restored():
            if (changed := self._state.modified()) is not None:
                raise ReplayError(
                    f"{self._name_of(changed)} was modified in place between the forward and the backward pass; call "
                    "backward() before optimizer.step(), or, where the module itself changes it in a later call, use "
                    "memory='stored', which says where"
                )
            output = self._watching(kept, *args)
        if kept is not None:
            kept.check(self.name)
        return output

    def _watching(self, kept: Kept | None, *args: Any) -> Any:
        if kept is None:
            return self.module(*args)
        with kept.watching():
            return self.module(*args)

    def _name_of(self, tensor: Tensor | np.ndarray) -> str:
        named = ("parameter", self.module.named_parameters()), ("buffer", self.module.named_buffers())
        for kind, tensors in named:
            for name, other in tensors:
                if other is tensor:
                    return f"{kind} {name!r} of {self.name}"
        return f"a tensor of shape {tuple(tensor.shape)} that {self.name} holds"


def recompute(function: Callable[..., Any], *args: Any) -> Any:
    """`function(*args)`, saving only args for the backward pass, which runs the function again.

    Modules that the function calls should be wrapped in `ReplayableModule`.
    """
    return checkpoint(function, *args, use_reentrant=False)


def refuse_unrepeatable(module: nn.Module) -> None:
    """Refuse what cannot run twice as if it had run once: SyncBatchNorm would repeat its collective operations, and
    scripted modules become others from run to run and hold what cannot be put back.

    Raises:
        ValueError: when module contains one.
    """
    for name, child in module.named_modules():
        if isinstance(child, nn.SyncBatchNorm):
            raise ValueError(
                f"memory='reversible' cannot replay the SyncBatchNorm {name!r}: its statistics would be "
                "exchanged twice; use BatchNorm2d, or memory='stored'"
            )
        if isinstance(child, torch.jit.ScriptModule):
            raise ValueError(
                f"memory='reversible' cannot replay the scripted module {name!r}; use the module that it was made "
                "from, or memory='stored'"
            )


__all__ = ["ReplayableModule", "recompute", "refuse_unrepeatable"]
