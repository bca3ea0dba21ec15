"""What training and analysis need of a network, whichever family it is of."""

from dataclasses import asdict, replace
from importlib.util import find_spec
from typing import Any, ClassVar

from torch import Tensor, nn

from trevsnn.models.config import BaseConfig
from trevsnn.models.weights import WeightsInfo, weights_info
from trevsnn.reversible import ReversibleGrid


class SpikingNetwork(nn.Module):
    """A classifier of images (N, in_chans, H, W) or clips (T, N, in_chans, H, W).

    `forward` returns logits (N, num_classes); see `set_intermediate_supervision` for the one exception. Nothing is left
    in the network from one input to the next.

    Args:
        config: the options; or give them as keywords (see `config_type`).
    """

    representative: ClassVar[str]
    """A name from the family, for a network that was built without one: with all options given, any will do."""
    config_type: ClassVar[type[BaseConfig]] = BaseConfig
    package: ClassVar[str | None] = None
    """Of Python, that its networks need and that this one does not install."""
    heads: ClassVar[tuple[str, ...]] = ("head.",)
    """What the names of the classifiers' parameters begin with."""

    def __init__(self, config: BaseConfig | None = None, **options: Any):
        super().__init__()
        self.config = replace(config or self.config_type(), **options)
        self.weights_info: WeightsInfo | None = None  # what the file said that the weights came from
        self.intermediate_supervision = False

    @classmethod
    def is_installed(cls) -> bool:
        """Whether what its networks need is."""
        return cls.package is None or find_spec(cls.package) is not None

    @property
    def num_classes(self) -> int:
        """Number of classes, 0 without a classifier."""
        return self.config.num_classes

    def set_intermediate_supervision(self, enable: bool = True) -> None:
        """Train with the classifiers after earlier steps, too, where the network has them (`aux_heads`).

        While enabled, `forward` returns in training the list of the logits of every head, the deployed one's last: what
        `trevsnn.intermediate_supervision_loss` takes. In a network without such classifiers nothing changes.
        """
        self.intermediate_supervision = enable

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that weight decay should leave alone, biases and norms aside."""
        return set()

    def described(self) -> WeightsInfo:
        """What a weights file of this network says about it."""
        name = getattr(self, "pretrained_cfg", {}).get("architecture", self.representative)
        return replace(self.weights_info or weights_info(name, self.config), options=asdict(self.config))

    def check_input(self, x: Tensor) -> None:
        """Refuse an input of `forward` that does not fit.

        Raises:
            ValueError: naming its shape.
        """
        names = ("T", "N", "in_chans", "H", "W") if self.config.frames else ("N", "in_chans", "H", "W")
        if x.dim() != len(names):
            raise ValueError(f"input of shape {tuple(x.shape)} must have {len(names)} dimensions ({', '.join(names)})")
        if not x.shape[-4]:
            raise ValueError(f"input of shape {tuple(x.shape)} is a batch of nothing; give at least one sample")
        if x.shape[-3] != self.config.in_chans:
            raise ValueError(
                f"input of shape {tuple(x.shape)} has {x.shape[-3]} channels, in_chans={self.config.in_chans}"
            )
        if self.config.frames and len(x) != self.config.timesteps:
            raise ValueError(f"input of shape {tuple(x.shape)} has {len(x)} frames, timesteps={self.config.timesteps}")


class ReversibleNetwork(SpikingNetwork):
    """One on the reversible grid."""

    grid: ReversibleGrid

    def set_memory(self, memory: str) -> None:
        """Choose what a training step keeps: `"reversible"`, `"packed"` or `"stored"`; the gradients are the same.

        Raises:
            ValueError: for another name.
        """
        self.grid.set_memory(memory)
        self.config = replace(self.config, memory=self.grid.memory)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """timm's switch: `"reversible"` memory when enabled, else `"stored"`."""
        self.set_memory("reversible" if enable else "stored")

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that weight decay should leave alone: the decays of the neurons."""
        return {name for name, _ in self.named_parameters() if name.startswith("grid.decays.")}
