"""Running a module without keeping its activations: it runs again in the backward pass.

PyTorch's non-reentrant checkpoint does the recomputation and restores the random state and autocast.
What it leaves to its caller is a module's own state: BatchNorm's running statistics (or any buffer that
a forward pass changes) must read the same in the second run as in the first and change only once.
"""

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint


class ReplayableModule:
    """A module's call that can be repeated: every call after the first sees the first call's buffers.

    Later calls change no buffer of the module itself. Buffers are taken to be constant in eval mode.

    Raises:
        RuntimeError: on a later call, when a parameter was changed in place since the first.
    """

    def __init__(self, module: nn.Module):
        self.module = module
        self._buffers: dict[str, Tensor] | None = None
        self._parameters = dict(module.named_parameters())
        self._versions = _versions(module)

    @property
    def replaying(self) -> bool:
        """Whether the first call is over."""
        return self._buffers is not None

    def __call__(self, *args: Any) -> Any:
        if self._buffers is None:
            self._buffers = {name: buffer.clone() for name, buffer in _changing_buffers(self.module)}
            return self.module(*args)
        if [p._version for p in self._parameters.values()] != self._versions:
            raise RuntimeError(
                "a parameter was modified in place between the forward and the backward pass; "
                "call backward() before optimizer.step(), or use memory='stored' to see which one"
            )
        copies = {name: buffer.clone() for name, buffer in self._buffers.items()}
        return functional_call(self.module, self._parameters | copies, args)


def _changing_buffers(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Names and values of the buffers that a forward pass may change: those of modules in training mode."""
    for prefix, child in module.named_modules():
        if child.training:
            yield from child.named_buffers(prefix, recurse=False)


def _versions(module: nn.Module) -> list[int]:
    return [p._version for p in module.parameters()]


def recompute(function: Callable[..., Any], *args: Any) -> Any:
    """`function(*args)`, saving only args for the backward pass, which runs the function again.

    Modules that the function calls should be wrapped in `ReplayableModule`.
    """
    return checkpoint(function, *args, use_reentrant=False)


def refuse_synchronised_batchnorm(module: nn.Module) -> None:
    """SyncBatchNorm would repeat its collective operations in the backward pass.

    Raises:
        ValueError: when module contains one.
    """
    for name, child in module.named_modules():
        if isinstance(child, nn.SyncBatchNorm):
            raise ValueError(
                f"memory='reversible' cannot replay the SyncBatchNorm {name!r}: its statistics would be "
                "exchanged twice; use BatchNorm2d, or memory='stored'"
            )


__all__ = ["ReplayableModule", "recompute", "refuse_synchronised_batchnorm"]
