"""What a command says at its end about a network that learned nothing, or whose neurons are silent."""

from collections.abc import Callable, Sequence

from trevsnn.cli.open_run import Trained
from trevsnn.data import BadImages, Samples, evaluation_batches
from trevsnn.data.splitting import spread

SAMPLES = 64


def remarks_on(
    load: Callable[[], Trained], samples: Samples, correct: int, per_class: Sequence[int], advice: str
) -> list[str]:
    """Lines, most often none. What goes wrong here ends nothing: it is a line, too.

    Args:
        load: returns the network.
        samples: test images or recordings, of which a few are run.
        correct: how many it recognises.
        per_class: how many there are of each class.
        advice: what to try when that is no better than guessing.
    """
    from trevsnn.costs.operations import measure_operations
    from trevsnn.costs.remarks import chance_remark, firing_remarks

    chance = chance_remark(correct, per_class, advice)
    try:
        trained = load()
        batches = evaluation_batches(spread(samples, SAMPLES), trained.preprocessing, workers=0)
        firing = firing_remarks(measure_operations(trained.model, batches, BadImages(skip=True)))
    except (ValueError, OSError, RuntimeError) as error:  # too little memory is a RuntimeError
        firing = [f"firing rates could not be measured: {' '.join(str(error).split())}"]
    return [f"remark: {line}" for line in ([chance] if chance else []) + firing]
