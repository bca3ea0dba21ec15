"""Classification of frames as they come: what is kept from one to the next does not grow."""

from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from trevsnn.models.network import TRevSNN


class StreamingClassifier:
    """A network for clips, given one frame at a time.

    Kept are the membrane potentials of the key neurons and the sum of the firing rates that the classifier reads,
    nothing of earlier frames. After T frames the logits are those of the whole clip. Streams that run side by side, in
    threads for example, need one each; they can share the network.

    Args:
        model: a network with `frames`, folded or not; it is put into eval mode.
        to_frame: makes a frame of what is given, which else is one: `FramePreprocessing.frame` of the raw events of a
            window of time.

    Raises:
        ValueError: for a network for images, or one without a classifier.

    Examples:
        >>> import torch
        >>> from trevsnn import create_model
        >>> classify = StreamingClassifier(create_model("trevsnn_dvs", channels=(4, 4, 8, 8), timesteps=2))
        >>> [classify(torch.rand(1, 2, 32, 32)).shape for _ in range(2)]
        [torch.Size([1, 10]), torch.Size([1, 10])]
    """

    def __init__(self, model: TRevSNN, to_frame: Callable[[Any], Tensor] | None = None):
        if not model.config.frames:
            raise ValueError("this network is for images, which are encoded once; give one with frames=True")
        if not model.num_classes:
            raise ValueError("this network has no classifier; give one with num_classes of 1 or more")
        self.model, self.to_frame = model.eval(), to_frame
        self._busy = Lock()
        self.reset()

    def reset(self) -> None:
        """Forget the frames so far; the next one is the first of a clip."""
        self.steps = 0
        self._membranes: list[Tensor] | None = None
        self._rates: Tensor | None = None
        self._size: tuple[int, ...] | None = None

    def __call__(self, given: Any) -> Tensor:
        """The next frame (N, in_chans, H, W), or what it is made of -> logits of the clip so far (N, num_classes).

        A sample whose membrane potentials are not finite comes out as NaN, as it does of the network.

        Raises:
            ValueError: after T frames; for a frame of another batch, size, dtype or device than the clip or the network
                has; when the network is in training mode, or another thread is at work on its frame.
        """
        if not self._busy.acquire(blocking=False):
            raise ValueError("another thread is at work on a frame of this clip; give each stream a classifier")
        try:
            return self._next(given)
        finally:
            self._busy.release()

    @torch.inference_mode()
    def _next(self, given: Any) -> Tensor:
        timesteps = self.model.config.timesteps
        if self.steps == timesteps:
            raise ValueError(f"the clip is over after {timesteps} frames; call reset() before the next one")
        if self.model.training:
            raise ValueError("the network has been put into training mode; call its eval() before the next frame")
        parameter = next(self.model.parameters())
        frame: Tensor = given if self.to_frame is None else self.to_frame(given).to(parameter.device)
        self._check(frame, parameter)
        state = self.model.grid.step(self.steps, frame, self._membranes)
        rates = state.spikes().mean((2, 3), keepdim=True)
        self._rates = rates if self._rates is None else self._rates + rates
        self._membranes = state.membranes
        self._size = tuple(frame.shape[-2:])
        self.steps = self.steps + 1
        logits = self.model.head(self._rates / self.steps)
        alarm = torch.stack([h.flatten(1).sum(1) for h in self._membranes]).sum(0) * 0  # NaN unless all are finite
        return logits + alarm.to(logits.dtype)[:, None]

    def _check(self, frame: Tensor, parameter: Tensor) -> None:
        """Refuse a frame that does not fit the network, or the frames before it."""
        if not isinstance(frame, Tensor):
            raise ValueError(f"frame is of type {type(frame).__name__}; give a tensor, or a `to_frame` that makes one")
        self.model.check_frame(frame)
        if frame.device != parameter.device:
            raise ValueError(f"frame is on {frame.device}, the network on {parameter.device}; move one of them")
        if frame.dtype != parameter.dtype and not torch.is_autocast_enabled(frame.device.type):
            raise ValueError(
                f"frame has dtype {frame.dtype}, the network {parameter.dtype}; give frame.to({parameter.dtype})"
            )
        if self._rates is None:
            return
        again = "call reset() before the first frame of another clip"
        if self._rates.device != frame.device:
            raise ValueError(f"frame is on {frame.device}, what is kept of the clip on {self._rates.device}; {again}")
        if len(frame) != len(self._rates):
            raise ValueError(f"frame has a batch of {len(frame)}, the clip one of {len(self._rates)}; {again}")
        if self._size not in (None, size := tuple(frame.shape[-2:])):
            (height, width), (rows, columns) = size, self._size
            raise ValueError(f"frame has {height} x {width} pixels, the clip {rows} x {columns}; {again}")

    def state_dict(self) -> dict[str, Any]:
        """What is kept, as tensors and numbers."""
        return {"steps": self.steps, "membranes": self._membranes, "rates": self._rates, "size": self._size}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state_dict()`, on the device that the network is on.

        Raises:
            ValueError: when it is none, or of another network.
        """
        if missing := {"steps", "membranes", "rates"} - state.keys():
            raise ValueError(f"the state has no {', '.join(sorted(missing))}; give a state_dict() of a classifier")
        config = self.model.config
        device = next(self.model.parameters()).device
        steps = state["steps"]
        kept = [*state["membranes"], state["rates"]] if steps else []
        channels = [h.shape[1] for h in kept]
        expected = [*config.channels, config.channels[-1]] if steps else []
        if not 0 <= steps <= config.timesteps or channels != expected:
            raise ValueError(
                f"the state, after {steps} steps and with {channels} channels, is of another network: this one has "
                f"{config.timesteps} steps and {expected} channels then"
            )
        self.reset()
        if steps:
            *membranes, rates = (h.detach().to(device) for h in kept)
            self.steps = steps
            self._membranes = membranes
            self._rates = rates
            self._size = state.get("size")

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_busy"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _busy=Lock())
