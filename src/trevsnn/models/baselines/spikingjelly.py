"""Spiking networks of SpikingJelly's model zoo, as networks of this library.

They run as a whole at every step, with leaky integrate-and-fire neurons everywhere (SEW-ResNet: integrate-and-fire),
and are trained by ordinary back-propagation through time. SpikingJelly is an extra: pip install 'trevsnn[baselines]'.
"""

from importlib import import_module
from typing import Any

from torch import Tensor, nn

from trevsnn.models.base import SpikingNetwork
from trevsnn.models.config import BaseConfig, BaselineConfig, TransformerConfig, ZooMSResNetConfig

PACKAGE = "spikingjelly.activation_based"


def spikingjelly_is_installed() -> bool:
    """Whether its networks can be built."""
    return SpikingJellyNetwork.is_installed()


class SpikingJellyNetwork(SpikingNetwork):
    """A network of the zoo; an image is shown at every step, and the logits are the mean over the steps."""

    config_type = BaselineConfig
    package = "spikingjelly"
    heads = ("network.head.", "network.fc.")

    def __init__(self, config: BaseConfig | None = None, **options: Any):
        super().__init__(config, **options)
        self.network = self._build()

    def _build(self) -> nn.Module:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_chans, H, W), or (T, N, in_chans, H, W) with frames -> logits (N, num_classes)."""
        self.check_input(x)
        sequence = x if self.config.frames else x.unsqueeze(0).repeat(self.config.timesteps, 1, 1, 1, 1)
        functional = import_module(f"{PACKAGE}.functional")
        functional.reset_net(self.network)
        logits = self._run(sequence)
        functional.reset_net(self.network)  # its states would keep the graph alive
        return logits

    @property
    def neurons(self) -> list[nn.Module]:
        """Its layers of neurons, SpikingJelly's."""
        base = import_module(f"{PACKAGE}.neuron").BaseNode
        return [module for module in self.network.modules() if isinstance(module, base)]

    @property
    def stage_ends(self) -> list[nn.Module]:
        """Those of `neurons` that fire on the output of a stage, the last layers of the stages."""
        raise NotImplementedError

    def _run(self, sequence: Tensor) -> Tensor:
        return self.network(sequence)

    def _zoo(self, module: str) -> Any:
        return import_module(f"{PACKAGE}.model.{module}")


class MSResNet(SpikingJellyNetwork):
    """Membrane shortcut ResNet.

    Source: Hu et al., "Advancing Spiking Neural Networks Toward Deep Residual Learning", IEEE TNNLS 2024.
    """

    representative = "ms_resnet34"
    config_type = ZooMSResNetConfig
    config: ZooMSResNetConfig

    def _build(self) -> nn.Module:
        config = self.config
        return self._zoo("ms_resnet").MSResNet(
            T=config.timesteps,
            in_channels=config.in_chans,
            num_classes=config.num_classes,
            layers=config.blocks,
            base_channels=config.channels[0],
            stage_channels=config.channels,
            stem_kernel_size=7 if config.stem_stride > 1 else 3,
            stem_stride=config.stem_stride,
        )

    @property
    def stage_ends(self) -> list[nn.Module]:
        """A stage ends in a sum; the neurons that fire on it come after."""
        network: Any = self.network
        stages = [network.layer2, network.layer3, *([network.layer4] if network.layer4 is not None else [])]
        return [*(stage[0].spike1 for stage in stages), network.head_lif]


class SpikeDrivenTransformer(SpikingJellyNetwork):
    """Spike-driven Transformer, version 1; its patch embedding reduces the resolution by 16.

    Source: Yao et al., "Spike-driven Transformer", NeurIPS 2023.
    """

    representative = "sdt_8_512"
    config_type = TransformerConfig
    config: TransformerConfig

    def _build(self) -> nn.Module:
        config = self.config
        return self._zoo("spike_driven_transformer").SpikeDrivenTransformer(
            T=config.timesteps,
            in_channels=config.in_chans,
            num_classes=config.num_classes,
            embed_dims=config.embed_dims,
            depths=config.depth,
        )

    @property
    def stage_ends(self) -> list[nn.Module]:
        """The four stages of the patch embedding are a layer each; the blocks are the last stage."""
        network: Any = self.network
        embedding = network.patch_embed
        return [*(stage[2] for stage in embedding.stages), embedding.final_lif, network.head_lif]


class SEWResNet(SpikingJellyNetwork):
    """Spike-element-wise ResNet-34, ADD.

    Source: Fang et al., "Deep Residual Learning in Spiking Neural Networks", NeurIPS 2021.
    """

    representative = "sew_resnet34"

    def _build(self) -> nn.Module:
        neuron, surrogate, layer = (import_module(f"{PACKAGE}.{name}") for name in ("neuron", "surrogate", "layer"))
        network = self._zoo("sew_resnet").sew_resnet34(
            num_classes=self.config.num_classes,
            cnf="ADD",
            spiking_neuron=neuron.IFNode,
            surrogate_function=surrogate.ATan(),
            detach_reset=True,
        )
        if self.config.in_chans != 3:  # the zoo's is for colour images only
            network.conv1 = layer.Conv2d(self.config.in_chans, 64, 7, stride=2, padding=3, bias=False)
        import_module(f"{PACKAGE}.functional").set_step_mode(network, "m")
        return network

    @property
    def stage_ends(self) -> list[nn.Module]:
        """Of the last block of each stage."""
        network: Any = self.network
        return [stage[-1].sn2 for stage in (network.layer1, network.layer2, network.layer3, network.layer4)]

    def _run(self, sequence: Tensor) -> Tensor:
        return self.network(sequence).mean(0)
