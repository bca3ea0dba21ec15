"""What shapes a network: the options of `create_model`, checked.

The command line shows them, and training reads them from files, without PyTorch: it is imported where a check needs it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from trevsnn._util.checks import is_whole
from trevsnn.choices import InputEncoding, Memory

if TYPE_CHECKING:
    from trevsnn.neurons import Neuron


@dataclass(frozen=True, kw_only=True)
class BaseConfig:
    """Options that every network has.

    Raises:
        ValueError: for a value that no network can have; the message names the option.
    """

    num_classes: int = 1000
    """Number of classes."""
    in_chans: int = 3
    """Channels of the input image."""
    timesteps: int = 4
    """T, the number of time steps."""
    frames: bool = False
    """The input is a clip of T frames, (T, N, in_chans, H, W), of which every step sees one, in place of an image."""

    def __post_init__(self) -> None:
        check_count("num_classes", self.num_classes, 0)
        check_count("in_chans", self.in_chans, 1)
        check_count("timesteps", self.timesteps, 1)
        self._check_switches("frames")

    def input_shape(self, batch: int, height: int, width: int) -> tuple[int, ...]:
        """Of an input of so many images or clips."""
        image = batch, self.in_chans, height, width
        return (self.timesteps, *image) if self.frames else image

    def _check_switches(self, *names: str) -> None:
        for name in names:
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}={getattr(self, name)!r} must be True or False")

    def _check_numbers(self, name: str, what: str) -> None:
        """Make a tuple of integers from 1 of the option, of at least one."""
        value = getattr(self, name)
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise ValueError(f"{name}={value!r} must be a list of one number per {what}")
        object.__setattr__(self, name, tuple(value))
        if not value:
            raise ValueError(f"{name}=() has no {what}; give at least one number")
        for number in value:
            check_count(name, number, 1)


@dataclass(frozen=True, kw_only=True)
class ReversibleConfig(BaseConfig):
    """Options that every network on the reversible grid has.

    Raises:
        ValueError: for a value that no network can have; the message names the option.
    """

    memory: Memory = "reversible"
    """What a training step keeps: "reversible" (the key neurons' codes of 2 bits; cells run again), "packed" (bits in
    place of spikes; hardly anything runs again) or "stored" (everything)."""
    threshold: float = 0.5
    """Membrane potential from which on a neuron fires."""
    window: tuple[float, float] = (0.0, 1.0)
    """Lowest and highest membrane potential at which the surrogate gradient is 1; elsewhere it is 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        from trevsnn.reversible import check_memory

        check_memory(self.memory)
        object.__setattr__(self, "window", self.neuron.window)

    @property
    def neuron(self) -> "Neuron":
        """Every neuron of the network."""
        from trevsnn.neurons import Neuron

        return Neuron(self.threshold, self.window)


@dataclass(frozen=True, kw_only=True)
class MSResNetConfig(BaseConfig):
    """Options of a membrane shortcut ResNet.

    Raises:
        ValueError: for a value that no network can have; the message names the option.
    """

    channels: tuple[int, ...] = (64, 128, 256, 512)
    """Channels of each stage."""
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    """Residual blocks of each stage."""
    stem_stride: int = 2
    """Down-sampling of the first convolution; every stage halves the resolution again."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("num_classes", self.num_classes, 1)
        self._check_numbers("channels", "stage")
        self._check_numbers("blocks", "stage")
        check_count("stem_stride", self.stem_stride, 1)
        if len(self.blocks) != len(self.channels):
            raise ValueError(f"blocks={self.blocks!r} must be {len(self.channels)} numbers, as channels has")


@dataclass(frozen=True, kw_only=True)
class NetworkConfig(ReversibleConfig):
    """Options of a T-RevSNN, which has a subnetwork for each time step.

    Without classes, num_classes=0, it returns pooled features. With frames it is read out after every step, and its
    logits are those of the mean firing rates.

    Raises:
        ValueError: for a value that no network can have; the message names the option.
    """

    channels: tuple[int, ...] = (64, 128, 256, 384)
    """Channels of each level; as many levels as entries. All but the first and last halve the resolution."""
    kernel_size: int = 5
    """Size of the depth-wise kernels, odd (pixels)."""
    depth: int | None = None
    """Blocks per level, summed over the subnetworks; with a fixed depth the cost of inference does not grow
    with the timesteps. None for two per subnetwork, the published networks."""
    block: str = "convnext"
    """Kind of the blocks: "convnext", the published one, or one of your own (`trevsnn.layers.register_block`)."""
    two_stream: bool = False
    """Blocks have two streams of half the channels, to each of which a branch of the other is added, and can be
    inverted exactly (see `trevsnn.layers.two_stream`)."""
    invert_blocks: bool = False
    """With two_stream: the backward pass computes the inputs of blocks from their outputs, so that a cell keeps nothing
    per block, in every memory setting; the gradients are the same."""
    input_encoding: InputEncoding = "shared"
    """"shared": every step receives the stem's whole output; "grouped": the stem's channels are split into T
    groups, one per step (timesteps must divide the first entry of channels)."""
    stem_sharing: bool = True
    """With frames: one stem for all steps; off, one for each."""
    fusion: bool = True
    """Multi-level fusion: a level also receives the spikes of the level above, if there is one, of the step before."""
    residual_scale: bool = True
    """A learned scale gamma of the residual branch, in the blocks that share nothing with other steps; off, 1."""
    learn_decay: bool = True
    """The decays alpha of the key neurons are learned; off, they stay as they are, 0.5 at first."""
    aux_heads: bool = True
    """Intermediate supervision in training: for images, min(4, T) evenly spaced classifiers, the last after step T; for
    frames, the one classifier after every step."""
    slices: int = 16
    """In how many slices of the batch, at most, a cell runs its blocks, in every memory setting; 1 for the whole batch
    at once. Small maps are not sliced. Numbers of slices differ in the order in which weight gradients are summed."""
    drop_rate: float = 0.0
    """Dropout before the classifiers, 0 to 1."""
    drop_path_rate: float = 0.0
    """Stochastic depth of the last block; earlier blocks have proportionally less, 0 to 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_numbers("channels", "level")
        if self.num_classes == 1 or min(self.channels) == 1:
            name = "num_classes" if self.num_classes == 1 else "channels"
            raise ValueError(f"{name}={getattr(self, name)!r}: 1 is too few to standardise weights over; use 2 or more")
        check_count("kernel_size", self.kernel_size, 1)
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size={self.kernel_size} must be odd, {self.kernel_size + 1} for example")
        if self.depth is not None:
            check_count("depth", self.depth, 1)
        self._check_block()
        if self.input_encoding not in get_args(InputEncoding):
            raise ValueError(f"input_encoding={self.input_encoding!r} must be 'shared' or 'grouped'")
        self._check_switches("fusion", "residual_scale", "learn_decay", "aux_heads", "stem_sharing")
        self._check_switches("two_stream", "invert_blocks")
        self._check_streams()
        if self.frames and self.input_encoding == "grouped":
            raise ValueError("input_encoding='grouped' is for images; leave it out with frames=True")
        if not (self.frames or self.stem_sharing):
            raise ValueError("stem_sharing=False is for clips; add frames=True")
        group, rest = divmod(self.channels[0], self.timesteps)
        if self.input_encoding == "grouped" and (rest or group < 2):
            raise ValueError(
                f"input_encoding='grouped' splits the first entry of channels, {self.channels[0]}, into "
                f"timesteps={self.timesteps} equal groups of at least 2; choose a multiple of {self.timesteps}, "
                f"{2 * self.timesteps} or more"
            )
        check_count("slices", self.slices, 1)
        for name in ("drop_rate", "drop_path_rate"):
            rate = getattr(self, name)
            if not isinstance(rate, (int, float)) or not 0 <= rate < 1:
                raise ValueError(f"{name}={rate!r} must be at least 0 and less than 1")

    def _check_block(self) -> None:
        from trevsnn.layers import BLOCKS

        if self.block not in BLOCKS:
            raise ValueError(f"block={self.block!r} is not known; choose from {', '.join(BLOCKS)}")

    def _check_streams(self) -> None:
        if self.invert_blocks and not self.two_stream:
            raise ValueError("invert_blocks=True is for blocks of two streams; add two_stream=True")
        if not self.two_stream:
            return
        for channels in self.channels:
            if channels % 2 or channels < 4:
                raise ValueError(
                    f"channels={channels} must be an even number of at least 4 with two_stream=True, which has half of "
                    f"them in each stream; choose {max(4, channels + 1)} for example"
                )
        from trevsnn.layers.two_stream import MOST_BLOCKS

        if max(self.blocks_per_cell) > MOST_BLOCKS:
            raise ValueError(
                f"depth={self.depth} gives a cell {max(self.blocks_per_cell)} blocks, more than two_stream=True can "
                f"invert; use at most {MOST_BLOCKS * self.timesteps}"
            )

    @property
    def blocks_per_cell(self) -> list[int]:
        """Number of blocks of each level in each of the T subnetworks."""
        base, extra = divmod(self.depth or 2 * self.timesteps, self.timesteps)
        return [base + (t < extra) for t in range(self.timesteps)]

    @property
    def strides(self) -> list[int]:
        """Down-sampling of each level against the one below (the stem's is 4)."""
        last = len(self.channels) - 1
        return [2 if 0 < level < last else 1 for level in range(len(self.channels))]

    @property
    def head_steps(self) -> list[int]:
        """Steps, counted from 0, after which a classifier of its own reads the last level in training."""
        heads = min(4, self.timesteps) if self.aux_heads and self.num_classes and not self.frames else 1
        return [(i + 1) * self.timesteps // heads - 1 for i in range(heads)]


@dataclass(frozen=True, kw_only=True)
class ReversibleMSResNetConfig(ReversibleConfig, MSResNetConfig):
    """Options of an MS-ResNet with temporal reversibility, checked as those of `BaseConfig`."""

    fusion: bool = True
    """Multi-level fusion: a level also receives the spikes of the level above, if there is one, of the step before."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_switches("fusion")


@dataclass(frozen=True, kw_only=True)
class BaselineConfig(BaseConfig):
    """Options of a network of SpikingJelly, checked as those of `BaseConfig`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("num_classes", self.num_classes, 1)


@dataclass(frozen=True, kw_only=True)
class ZooMSResNetConfig(MSResNetConfig):
    """Options of an MS-ResNet of SpikingJelly, which has three stages or four, checked as those of `BaseConfig`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.channels) not in (3, 4):
            raise ValueError(f"channels={self.channels!r} must be three or four numbers, one per stage")


@dataclass(frozen=True, kw_only=True)
class TransformerConfig(BaselineConfig):
    """Options of a Spike-driven Transformer, checked as those of `BaseConfig`."""

    embed_dims: int = 512
    """Channels of its blocks, a multiple of 8."""
    depth: int = 8
    """Number of blocks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("embed_dims", self.embed_dims, 8)
        if self.embed_dims % 8:
            raise ValueError(f"embed_dims={self.embed_dims} must be a multiple of 8, the number of attention heads")
        check_count("depth", self.depth, 1)


CONFIGS: tuple[type[BaseConfig], ...] = (NetworkConfig, ReversibleMSResNetConfig, ZooMSResNetConfig, TransformerConfig)
"""Those of all named networks; what is not said for one of them is as for the first."""


def check_count(name: str, value: object, smallest: int) -> None:
    if not (is_whole(value) and value >= smallest):  # type: ignore[operator]
        raise ValueError(f"{name}={value!r} must be an integer of at least {smallest}")
