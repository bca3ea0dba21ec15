"""An event camera that never stops: a decision after every window of events, from the potentials kept in between.

python examples/event_stream.py
"""

from collections.abc import Iterator

import numpy as np

import trevsnn
from trevsnn.data import FramePreprocessing
from trevsnn.data.events import Events

SENSOR = (64, 64)  # height and width, pixels
WINDOW = 5_000  # microseconds
TIMESTEPS = 8


def camera(seconds: float) -> Iterator[Events]:
    """A bright square that moves to the right, in place of a camera: the events of one window after another."""
    random = np.random.default_rng(0)
    for start in range(0, int(seconds * 1e6), WINDOW):
        count = 200
        t = np.sort(random.integers(start, start + WINDOW, count))
        edge = (t // 10_000) % SENSOR[1]
        on = random.random(count) < 0.5  # one edge brightens, the other darkens
        x = np.where(on, edge, (edge - 10) % SENSOR[1])
        yield Events(t=t, x=x, y=random.integers(20, 40, count), p=on)


def main(seconds: float = 0.2) -> list[int]:
    """The class after every clip. The network has learned nothing: give yours, `TRevSNN.from_pretrained(RUN)`."""
    model = trevsnn.create_model("trevsnn_dvs", num_classes=11, timesteps=TIMESTEPS, channels=(16, 16, 24, 24)).eval()
    preprocessing = FramePreprocessing(
        input_size=(2, *SENSOR), sensor_size=SENSOR, timesteps=TIMESTEPS, split_by="time"
    )
    classify = trevsnn.StreamingClassifier(model.fold(), preprocessing.frame)
    found = []
    for window in camera(seconds):
        shares = classify(window).softmax(1)[0]  # of the clip so far
        if classify.steps == TIMESTEPS:
            found.append(int(shares.argmax()))
            classify.reset()
    return found


if __name__ == "__main__":
    print("the class of each clip:", *main())
