"""What a run changes from step to step: weights, their average and the optimiser."""

import inspect
import math
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from torch import Tensor
from torch._dynamo.exc import BackendCompilerFailed
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import get_total_norm

from trevsnn.data import LabelledData
from trevsnn.data.seeding import LAYERS, seed_of
from trevsnn.models import (
    LoadReport,
    SpikingNetwork,
    WeightsInfo,
    create_model,
    load_tensors_into,
    weights_file,
)
from trevsnn.models.registry import check_weights
from trevsnn.training.averaging import SharedWeightsEma
from trevsnn.training.clipping import clip_adaptively
from trevsnn.training.config import NETWORK_OPTIONS, TrainConfig
from trevsnn.training.errors import NonFiniteError
from trevsnn.training.objectives import training_loss
from trevsnn.training.precision import autocast
from trevsnn.training.processes import Processes
from trevsnn.training.setup import (
    check_batch,
    choose_device,
    decided_by_default,
    left_over_images,
    preprocessing_for,
    step_sizes,
    usable_weights,
)

_BUFFERS_OF_THE_FIRST = next(
    name
    for name in ("forward_sync_buffers", "broadcast_buffers")  # its name from PyTorch 2.14 on, and before
    if name in inspect.signature(DistributedDataParallel).parameters
)


class Learner:
    """A network in training. The same configuration always builds the same one.

    Sets PyTorch's global random seed, which decides the initial weights and then, anew in every step, dropout.

    Args:
        config: what to train, and how.
        dataset: what to train it on.
        processes: those that train together.
        fresh: whether it starts training; a state that is loaded makes the weights of the configuration needless.

    Raises:
        ValueError: when a setting cannot work, before anything is written.
    """

    def __init__(
        self, config: TrainConfig, dataset: LabelledData, processes: Processes | None = None, *, fresh: bool = True
    ):
        self.notes: list[str] = []
        """What its first lines have to say besides."""
        self.decided = decided_by_default(config, dataset)
        """Who has decided the model and the size of its input, where the configuration leaves them open."""
        self.weights_info: WeightsInfo | None = None
        if fresh and config.weights is not None:
            self.weights_info = usable_weights(config.weights)
            config = self._with_settings_of(config.weights, self.weights_info, config, dataset)
        self.model_name = dataset.model if config.model is None else config.model
        self.config = config = replace(config, model=self.model_name)
        self.processes = processes = processes or Processes()
        self.device = choose_device(config.device)
        self.effective_batch, self.batches_per_step = step_sizes(config, dataset, processes)
        self.steps_per_epoch = len(dataset.train or ()) // self.effective_batch
        images = len(dataset.train or ())
        self.left_over = left_over_images(config, images, self.effective_batch, processes.world) if fresh else ""
        """A line about the images that every epoch leaves out; empty for none."""
        self.load_report: LoadReport | None = None
        torch.manual_seed(config.seed)
        self.model = self._build(dataset)
        self.model.set_intermediate_supervision()
        self.preprocessing = preprocessing_for(self.model, dataset, config)
        check_batch(self.model, config.batch_size, self.preprocessing.input_size[1:])
        self.layout = torch.channels_last if config.channels_last else torch.preserve_format
        self.model.to(device=self.device, memory_format=self.layout)  # type: ignore[call-overload]
        self.ema = SharedWeightsEma(self.model, config.ema_decay, config.ema_warmup) if config.ema_decay else None
        special: dict[str, Any] = {"trust_clip": True} if config.optimizer == "lamb" else {}
        scale = 1.0 if config.lr_base_size is None else self.effective_batch / config.lr_base_size
        self.optimizer = create_optimizer_v2(
            self.model, opt=config.optimizer, lr=config.lr * scale, weight_decay=config.weight_decay, **special
        )
        self.scheduler = CosineLRScheduler(
            self.optimizer,
            t_initial=max(2, config.epochs * self.steps_per_epoch),
            lr_min=config.min_lr,
            warmup_t=round(config.warmup_epochs * self.steps_per_epoch),
            warmup_lr_init=min(config.warmup_lr, config.lr * scale),
            t_in_epochs=False,
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.precision == "fp16")
        self.steps = 0
        ids = [processes.local_rank] if self.device.type == "cuda" else None
        self._distributed = (
            DistributedDataParallel(self.model, device_ids=ids, **{_BUFFERS_OF_THE_FIRST: False})  # type: ignore[arg-type]
            if processes.world > 1
            else None
        )
        network = self._distributed or self.model
        self._network = torch.compile(network) if config.compile else network

    def _build(self, dataset: LabelledData) -> SpikingNetwork:
        """The network with its first weights."""
        config, num_classes = self.config, len(dataset.class_names)
        in_chans = 3 if dataset.preprocessing is None else dataset.preprocessing.input_size[0]
        model = create_model(self.model_name, in_chans=in_chans, num_classes=num_classes, **config.model_options)
        if config.weights is not None and self.weights_info is not None:
            info = self.weights_info
            same = info.options.get("num_classes") == num_classes and info.class_names in (None, dataset.class_names)
            except_for = () if same else model.heads
            file = weights_file(config.weights)
            self.load_report = load_tensors_into(model, file, except_for=except_for, adapt=True)
            if not self.load_report.loaded:
                raise ValueError(f"weights {str(config.weights)!r} have nothing in common with the network; omit them")
        return model

    def _with_settings_of(
        self, weights: Path, info: WeightsInfo, config: TrainConfig, dataset: LabelledData
    ) -> TrainConfig:
        """The network and the input size that weights are of, where the configuration does not ask for others."""
        if config.image_size is None and info.preprocessing is not None:
            size = tuple(info.preprocessing.get("input_size", ())[1:])
            if len(size) == 2 and size[0] == size[1]:
                config = replace(config, image_size=size[0])
                self.decided["image_size"] = "as the weights were trained"
            elif size and (dataset.preprocessing is None or dataset.preprocessing.input_size[1:] != size):
                self.notes.append(f"the weights were trained at {size[0]} x {size[1]}, which is not square")
        if config.model not in (None, info.model):
            return config
        check_weights(weights)
        if config.model is None:
            self.decided["model"] = "as the weights have it"
        options = {name: value for name, value in info.options.items() if name in NETWORK_OPTIONS}
        return config.changed(model=info.model, **{**options, **config.model_options})

    @property
    def trained(self) -> SpikingNetwork:
        """The network to evaluate and save: the average of the weights where there is one, in eval mode."""
        return self.ema.module if self.ema is not None else self.model.eval()

    @property
    def lr(self) -> float:
        """Learning rate of the next step."""
        return self.optimizer.param_groups[0]["lr"]

    def step(self, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
        """One optimiser step.

        Args:
            batches: this process's share, `batches_per_step` of (N, C, H, W) and (N,) or (N, num_classes) each.

        Returns:
            The mean loss of all processes.

        Raises:
            NonFiniteError: when the gradient is not finite, at any process; the weights are as before the step. With
                fp16, only when no scale of the loss helps.
        """
        self.optimizer.zero_grad()
        self.model.train()
        total = torch.zeros((), device=self.device)
        buffers = list(self.model.buffers()) if self.batches_per_step > 1 else []
        statistics = [buffer.clone() for buffer in buffers]
        try:
            for number, (images, targets) in enumerate(batches):
                last = number == self.batches_per_step - 1
                with nullcontext() if last or self._distributed is None else self._distributed.no_sync():
                    total += self._accumulate(number, images, targets)
        except BaseException:  # a signal or a failure while it waits for data: the step has not been
            for buffer, before in zip(buffers, statistics, strict=True):
                buffer.copy_(before)
            raise
        (loss,) = self.processes.sum(total.item() / self.processes.world, device=self.device)
        self.scaler.unscale_(self.optimizer)
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        norm = get_total_norm(gradients)
        if not norm.isfinite() and (not self.scaler.is_enabled() or self.scaler.get_scale() < 1):
            raise NonFiniteError(
                f"the norm of the gradient is {norm.item()}" if math.isfinite(loss) else f"the loss is {loss}"
            )
        if self.config.clip_grad:
            clip_adaptively(self.model.parameters(), self.config.clip_grad)
        self.scaler.step(self.optimizer)  # with fp16 it leaves out a step of an infinite gradient
        self.scaler.update()
        self.processes.average_buffers(self.model)
        self.steps += 1
        self.scheduler.step_update(self.steps)
        if self.ema is not None:
            self.ema.update(self.model, step=self.steps)
        return loss

    def _accumulate(self, number: int, images: Tensor, targets: Tensor) -> Tensor:
        """Add the gradients of the process's batch of this number; returns its part of the loss."""
        config, processes = self.config, self.processes
        layout = self.layout if images.dim() == 4 else torch.preserve_format  # clips have no such layout
        images = images.to(self.device, non_blocking=True, memory_format=layout)
        targets = targets.to(self.device, non_blocking=True)
        torch.manual_seed(seed_of(config.seed, LAYERS, self.steps, number * processes.world + processes.rank))
        with autocast(config.precision, self.device):
            try:
                outputs = self._network(images)
            except BackendCompilerFailed as error:
                reason = " ".join(str(error.inner_exception).split())
                raise ValueError(f"compile=True does not work here: {reason}; leave it out") from error
            loss = training_loss(config, outputs, targets)
        loss = loss / self.batches_per_step
        self.scaler.scale(loss).backward()
        return loss.detach()

    @property
    def learned_parameters(self) -> int:
        """Number of weights that training changes, shared ones once."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)

    def state_dict(self) -> dict[str, Any]:
        """Everything that `step` reads and changes. Random numbers need none: every step seeds them anew."""
        return {
            "steps": self.steps,
            "model": self.model.state_dict(),
            "ema": None if self.ema is None else self.ema.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict()`.

        Raises:
            ValueError: when the state is of another network or other settings.
        """
        try:
            self.model.load_state_dict(state["model"])
            if self.ema is not None:
                self.ema.module.load_state_dict(state["ema"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.scaler.is_enabled():
                self.scaler.load_state_dict(state["scaler"])
            self.steps = int(state["steps"])
        except (RuntimeError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"the state does not fit the configuration: {' '.join(str(error).split())}") from error
        if self.steps:
            self.scheduler.step_update(self.steps)
