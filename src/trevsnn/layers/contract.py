"""What a block of a cell is: the contract that a new kind fulfils in its own file.

A block is x + branch(x) for membrane potentials x (N, C, H, W); the cell adds, and the branch is what a kind of block
defines. It treats every sample by itself, so that cells can run in slices of the batch: no batch statistics.

`BLOCKS` names the kinds. `register_block` adds one, and `create_model(..., block=name)` builds with it; training in all
memory settings, two streams, folding, operations, energy and export follow from the contract.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from trevsnn.neurons import Neuron

Chain = Sequence[tuple[str, Neuron | nn.Conv2d]]


@runtime_checkable
class Branch(Protocol):
    """What a block adds to its input, (N, C, H, W) -> (N, C, H, W): a module."""

    neuron: Neuron
    """Every neuron in it."""

    def weights(self) -> tuple[Tensor, ...]:
        """All parameters as they are applied, standardised for example; as many for every branch of the kind."""
        ...

    def branch_scale(self, x: Tensor) -> Tensor | None:
        """What the branch of each sample of x is multiplied with, (N, 1, 1, 1); None for 1."""
        ...

    def __call__(self, x: Tensor, weights: Sequence[Tensor] = (), scale: Tensor | None = None) -> Tensor:
        """The branch of x, with what `weights` and `branch_scale` returned; without weights, it calls them itself."""
        ...

    def chain(self) -> Chain:
        """Its neurons and convolutions in the order in which they run, named; of convolutions that follow each other,
        nothing lies between. In eval mode the branch is what they come to, one after the other."""
        ...

    def fold(self) -> None:
        """Merge what remains to be merged into the convolutions, once all of them are plain."""
        ...


class BlockKind(Protocol):
    """Makes the branches of a kind of block: their class, as a rule."""

    def __call__(
        self,
        channels: int,
        kernel_size: int,
        shared: nn.Module | None,
        drop_path: float,
        residual_scale: bool,
        neuron: Neuron,
    ) -> Branch:
        """A branch of C channels.

        Args:
            channels: C.
            kernel_size: of convolutions that look around, odd.
            shared: what it shares with branches of other steps, from `shared_part`; None where it shares nothing.
            drop_path: probability of dropping the branch of a sample in training.
            residual_scale: whether a branch that shares nothing learns a scale.
            neuron: its neurons.
        """
        ...

    def shared_part(self, channels: int, kernel_size: int) -> nn.Module | None:
        """A part that every second block shares with those of other steps; None where the kind shares nothing."""
        ...


BLOCKS: dict[str, BlockKind] = {}
"""By name."""


def register_block(name: str, kind: BlockKind) -> None:
    """Make a kind of block known as an option of `create_model`.

    Raises:
        ValueError: when another kind has that name.
    """
    if BLOCKS.setdefault(name, kind) is not kind:
        raise ValueError(f"block {name!r} is known already; give it another name")
