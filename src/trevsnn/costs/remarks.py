"""Worth a word about a trained network: an accuracy that guessing reaches, neurons that never fire, or always."""

from collections.abc import Sequence
from math import erfc, sqrt

from trevsnn._util.suggest import shortened
from trevsnn.costs.operations import Layer, Operations

LIKELY = 0.05
"""An accuracy that guessing reaches at least as often as this cannot be told from guessing."""
MOSTLY = 0.9
"""Share of the neurons of a kind from which on it is worth a word that they never, or always, fire."""
_INSIDE = "pw2"
"""The layer that the neurons inside a block reach."""


def chance_remark(correct: int, per_class: Sequence[int], advice: str) -> str | None:
    """A line where always guessing the largest class gets about as many right; None else, and for a single class.

    Args:
        correct: how many were recognised.
        per_class: how many there are of each class.
        advice: what to try.
    """
    number, largest = sum(per_class), max(per_class)
    if largest == number or 2 * correct >= number + largest:
        return None
    beyond = (correct - 0.5 - largest) / sqrt(largest * (1 - largest / number))  # standard deviations
    if erfc(beyond / sqrt(2)) / 2 < LIKELY:
        return None
    return (
        f"{correct / number:.2%} right of {number:,} cannot be told from guessing, which gets {largest / number:.2%}; "
        f"{advice}"
    )


def firing_remarks(operations: Operations) -> list[str]:
    """Lines about neurons that never fired, or always, while images were run; none where their rate was assumed."""
    layers = [layer for layer in operations.layers if layer.silent is not None and layer.always is not None]
    inside = [layer for layer in layers if layer.kind == _INSIDE]
    outside = [layer for layer in layers if layer.kind != _INSIDE]
    images = f"{operations.images:,} samples"
    found = []
    if silent := [layer for layer in inside if layer.silent == 1]:
        found.append(
            f"{len(silent)} of {len(inside)} blocks are silent, as no neuron inside fired in any of {images} "
            f"({_places(silent)}): they add a constant; train longer, try another --lr, or do with fewer blocks "
            "(--depth)"
        )
    if silent := [layer for layer in outside if layer.silent == 1]:
        found.append(
            f"no neuron fired in any of {images} before {_places(silent)}: nothing passes there; train longer, or with "
            "a lower --lr"
        )
    if always := [layer for layer in layers if layer.always == 1]:
        found.append(
            f"every neuron fired in each of {images} before {_places(always)}: they tell nothing; lower --lr, or warm "
            "up longer (--warmup-epochs)"
        )
    for neurons, of_kind in (("neurons inside blocks", inside), ("other neurons", outside)):
        for name, when in (("silent", "never"), ("always", "always")):
            shares = [share for layer in of_kind if (share := getattr(layer, name)) < 1]
            if shares and (mean := sum(shares) / len(shares)) >= MOSTLY:
                found.append(f"{mean:.1%} of the {neurons} {when} fired in {images}, silent blocks aside")
    return found


def _places(layers: Sequence[Layer]) -> str:
    return shortened([_place(layer) for layer in layers], 4)


def _place(layer: Layer) -> str:
    numbers = {"step": layer.step, "level": layer.level, "block": layer.block}
    words = [f"{name} {number}" for name, number in numbers.items() if number is not None]
    return " ".join(words if layer.kind == _INSIDE else [*words, layer.name])
