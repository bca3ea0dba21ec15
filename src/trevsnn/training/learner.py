"""What a run changes from step to step: weights, their average and the optimiser."""

import copy
from typing import Any

import torch
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.utils import dispatch_clip_grad
from torch import Tensor
from torch.nn.utils import get_total_norm

from trevsnn.data import ImageDataset
from trevsnn.data.batches import batches_per_epoch
from trevsnn.models import create_model
from trevsnn.models.network import TRevSNN
from trevsnn.training.averaging import SharedWeightsEma
from trevsnn.training.config import TrainConfig
from trevsnn.training.objectives import intermediate_supervision_loss


class NonFiniteError(ArithmeticError):
    """The loss or a gradient became infinite or no number."""


def choose_device(name: str) -> torch.device:
    """ "auto", "cpu" or "cuda" -> a device; auto is CUDA where there is a GPU.

    Raises:
        ValueError: for "cuda" without a GPU, or another name.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device={name!r} must be one of auto, cpu, cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device='cuda' is not available: PyTorch sees no GPU; use cpu or auto")
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")


def _check_batch(model: TRevSNN, shape: tuple[int, int, int, int]) -> None:
    """Run the shapes of a training step (N, C, H, W), without its numbers.

    Raises:
        ValueError: when the images are too small for the network, or the batch for BatchNorm.
    """
    shapes = copy.deepcopy(model).to("meta").train()
    try:
        with torch.no_grad():
            shapes(torch.empty(shape, device="meta"))
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(f"batch_size={shape[0]} leaves BatchNorm a single value per channel; use 2 or more") from error


class Learner:
    """A network in training. The same configuration always builds the same one.

    Sets PyTorch's global random seed, which decides the initial weights.

    Raises:
        ValueError: when a setting cannot work, before anything is written.
    """

    def __init__(self, config: TrainConfig, dataset: ImageDataset):
        self.config = config
        self.device = choose_device(config.device)
        self.model_name = dataset.model if config.model is None else config.model
        torch.manual_seed(config.seed)
        in_chans, num_classes = dataset.input_size[0], len(dataset.class_names)
        self.model: TRevSNN = create_model(
            self.model_name, in_chans=in_chans, num_classes=num_classes, **config.model_options
        )
        _check_batch(self.model, (config.batch_size, *dataset.input_size))
        self.model.to(self.device)
        self.ema = SharedWeightsEma(self.model, config.ema_decay) if config.ema_decay else None
        special: dict[str, Any] = {"trust_clip": True} if config.optimizer == "lamb" else {}
        self.optimizer = create_optimizer_v2(
            self.model, opt=config.optimizer, lr=config.lr, weight_decay=config.weight_decay, **special
        )
        self.steps_per_epoch = batches_per_epoch(dataset, config.batch_size)
        self.scheduler = CosineLRScheduler(
            self.optimizer,
            t_initial=max(2, config.epochs * self.steps_per_epoch),
            lr_min=config.min_lr,
            warmup_t=round(config.warmup_epochs * self.steps_per_epoch),
            warmup_lr_init=config.min_lr,
            t_in_epochs=False,
        )
        self.steps = 0

    @property
    def trained(self) -> TRevSNN:
        """The network to evaluate and save: the average of the weights where there is one, in eval mode."""
        return self.ema.module if self.ema is not None else self.model.eval()

    @property
    def lr(self) -> float:
        """Learning rate of the next step."""
        return self.optimizer.param_groups[0]["lr"]

    def step(self, images: Tensor, labels: Tensor) -> Tensor:
        """One optimiser step on (N, C, H, W) and (N,); returns the loss.

        Raises:
            NonFiniteError: when the loss or the gradient is not finite; the weights are as before the step.
        """
        outputs = self.model.train()(images)
        loss = intermediate_supervision_loss(outputs, labels, self.config.label_smoothing)
        if not loss.isfinite():
            raise NonFiniteError(f"the loss is {loss.item()}")
        self.optimizer.zero_grad()
        loss.backward()
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        norm = get_total_norm(gradients)
        if not norm.isfinite():
            raise NonFiniteError(f"the norm of the gradient is {norm.item()}")
        if self.config.clip_grad:
            dispatch_clip_grad(self.model.parameters(), self.config.clip_grad, mode="agc")
        self.optimizer.step()
        self.steps += 1
        self.scheduler.step_update(self.steps)
        if self.ema is not None:
            self.ema.update(self.model, step=self.steps)
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        """Everything that `step` reads and changes. Random numbers need none: each epoch is seeded anew."""
        return {
            "steps": self.steps,
            "model": self.model.state_dict(),
            "ema": None if self.ema is None else self.ema.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
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
            self.steps = int(state["steps"])
        except (RuntimeError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"the state does not fit the configuration: {' '.join(str(error).split())}") from error
        if self.steps:
            self.scheduler.step_update(self.steps)
