"""`trevsnn show`."""

import math
from itertools import pairwise
from pathlib import Path

import torch

from trevsnn.choices import SplitBy, TimeUnit
from trevsnn.cli.open_run import load_trained
from trevsnn.cli.output import check_file, say
from trevsnn.data import FramePreprocessing, check_files
from trevsnn.data.events import Events, Reading
from trevsnn.data.events.frames import frame_edges
from trevsnn.data.registry import read_as
from trevsnn.models import StreamingClassifier
from trevsnn.models.network import require_trevsnn

TIMESTEPS = 8
LARGEST = 2**22
"""Pixels of a sensor."""


def show(
    recording: Path,
    /,
    *,
    run: Path | None,
    output: Path | None,
    time: tuple[float, float] | None,
    timesteps: int | None,
    split_by: SplitBy | None,
    sensor_size: tuple[int, int] | None,
    sort_events: bool | None,
    camera: str | None,
    time_unit: TimeUnit | None,
) -> None:
    """See `trevsnn.cli.commands.show`."""
    output = output or Path(f"{recording.stem}.png")
    check_file(output, "output")
    check_files([recording])
    given = {"timesteps": timesteps, "split_by": split_by, "sensor_size": sensor_size}
    how = {"sort_events": sort_events, "camera": camera, "time_unit": time_unit}
    how = {name: value for name, value in how.items() if value is not None}
    trained = None if run is None else load_trained(run, torch.device("cpu"))
    if trained is None:
        events = _part(read_as(None, recording, Reading(**how)), time)
        preprocessing = _plain(events, timesteps, split_by, sensor_size)
    else:
        for name, value in (given | how).items():
            if value is not None:
                raise ValueError(f"{name}={value!r} is the run's to say; leave it or --run out")
        if not isinstance(trained.preprocessing, FramePreprocessing):
            raise ValueError(f"run {str(run)!r} is of images; give one of events")
        preprocessing = trained.preprocessing
        events = _part(read_as(trained.info.dataset, recording, preprocessing), time)
    frames = preprocessing.convert_named(events, str(recording))
    captions, rates = _spans(events, preprocessing), None
    if trained is not None:
        from trevsnn.costs.firing_rates import level_firing_rates

        clip = preprocessing.transform()(frames).unsqueeze(1)
        model = require_trevsnn(trained.model, "show --run")
        rates = level_firing_rates(model, clip)
        classify, names = StreamingClassifier(model), trained.info.class_names
        for t, frame in enumerate(clip):
            best, found = classify(frame).softmax(1)[0].max(0)
            captions[t] += f"\n{names[found] if names else int(found)} {best:.0%}"
    from trevsnn.plots.events import frames_figure  # matplotlib is slow to import
    from trevsnn.plots.style import save_png

    duration = (int(events.t[-1]) - int(events.t[0])) / 1e6
    title = f"{recording.name}: {len(events):,} events in {duration:.3g} s"
    save_png(frames_figure(frames, captions, title, rates), output)
    say(f"{output}: {len(frames)} frames")


def _part(events: Events, time: tuple[float, float] | None) -> Events:
    if time is None:
        return events
    if not (0 <= time[0] < time[1] < math.inf):
        raise ValueError(f"time={time!r} must be two numbers of seconds from 0, the smaller first")
    if not len(events):
        return events
    start, stop = (int(events.t[0]) + round(seconds * 1e6) for seconds in time)
    return events.between(start, stop)


def _plain(
    events: Events, timesteps: int | None, split_by: SplitBy | None, sensor_size: tuple[int, int] | None
) -> FramePreprocessing:
    """How frames are made without a run."""
    seen = (int(events.y.max()) + 1, int(events.x.max()) + 1) if len(events) else (1, 1)
    height, width = sensor_size or seen
    if not 1 <= height * width <= LARGEST:
        raise ValueError(f"a sensor of {height} x {width} pixels is too large to be shown; give --sensor-size")
    return FramePreprocessing(
        input_size=(2, height, width),
        sensor_size=(height, width),
        timesteps=TIMESTEPS if timesteps is None else timesteps,
        split_by=split_by or "number",
    )


def _spans(events: Events, preprocessing: FramePreprocessing) -> list[str]:
    """From when to when each frame goes, after the first event."""
    edges = frame_edges(events, preprocessing.timesteps, preprocessing.split_by)
    times = [(int(events.t[min(edge, len(events) - 1)]) - int(events.t[0])) / 1000 for edge in edges]
    return [f"{start:.0f}-{stop:.0f} ms" for start, stop in pairwise(times)]
