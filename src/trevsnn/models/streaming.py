"""Classification of frames as they come: what is kept from one to the next does not grow."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trevsnn.models.network import TRevSNN


class StreamingClassifier:
    """A network for clips, given one frame at a time.

    Kept are the membrane potentials of the key neurons and the sum of the firing rates that the classifier reads,
    nothing of earlier frames. After T frames the logits are those of the whole clip.

    Args:
        model: a network with `frames`, folded or not; it is put into eval mode.
        to_frame: makes a frame of what is given, which else is one: `FramePreprocessing.frame` of the raw events of a
            window of time.

    Raises:
        ValueError: for a network for images, or one without a classifier.

    Example:
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
        self.reset()

    def reset(self) -> None:
        """Forget the frames so far; the next one is the first of a clip."""
        self.steps = 0
        self._membranes: list[Tensor] | None = None
        self._rates: Tensor | None = None

    @torch.inference_mode()
    def __call__(self, given: Any) -> Tensor:
        """The next frame (N, in_chans, H, W), or what it is made of -> logits of the clip so far (N, num_classes).

        Raises:
            ValueError: after T frames, or for a frame of another shape than those before.
        """
        timesteps = self.model.config.timesteps
        if self.steps == timesteps:
            raise ValueError(f"the clip is over after {timesteps} frames; call reset() before the next one")
        device = next(self.model.parameters()).device
        frame: Tensor = given if self.to_frame is None else self.to_frame(given).to(device)
        self.model.check_frame(frame)
        state = self.model.grid.step(self.steps, frame, self._membranes)
        rates = state.spikes().mean((2, 3), keepdim=True)
        self._rates = rates if self._rates is None else self._rates + rates
        self._membranes, self.steps = state.membranes, self.steps + 1
        return self.model.head(self._rates / self.steps)

    def state_dict(self) -> dict[str, Any]:
        """What is kept, as tensors and a number."""
        return {"steps": self.steps, "membranes": self._membranes, "rates": self._rates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict()`."""
        self.steps, self._membranes, self._rates = state["steps"], state["membranes"], state["rates"]
