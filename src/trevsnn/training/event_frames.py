"""Recordings of an event camera become frames on the disk before the first epoch."""

import os
import time
from hashlib import sha256

from rich.console import Console
from rich.progress import track

from trevsnn.data import BadImages, FramePreprocessing, LabelledData, Preprocessing
from trevsnn.data.events.cache import CachedFrames, cached
from trevsnn.data.loading import missing_frames, prepare_frames
from trevsnn.training.config import TrainConfig
from trevsnn.training.processes import Processes
from trevsnn.training.progress import BETWEEN_LINES
from trevsnn.training.stopping import StopRequest


def with_frames(
    dataset: LabelledData,
    preprocessing: Preprocessing | FramePreprocessing,
    config: TrainConfig,
    *,
    read_only: bool = False,
) -> LabelledData:
    """The data set with frames in place of recordings that come from files, kept below the configuration's `cache`.

    Args:
        dataset, preprocessing, config: what is trained on.
        read_only: take the frames that are there, write none.
    """
    if not isinstance(preprocessing, FramePreprocessing) or config.data is None:
        return dataset
    name = dataset.name.replace("/", "-")
    if config.cache is None:
        folder = config.data / ".frames" / name
    else:  # of several folders, perhaps
        folder = config.cache / f"{name}-{sha256(os.fsencode(config.data)).hexdigest()[:12]}"
    return cached(dataset, preprocessing, folder, read_only)


def make_frames(
    dataset: LabelledData,
    config: TrainConfig,
    workers: int,
    *,
    processes: Processes,
    console: Console,
    request: StopRequest,
) -> None:
    """Write the frames that are missing, each process its share; those that are written are not made again. After a
    signal it ends early.

    Args:
        dataset: of `with_frames`.
        config: says where, and what becomes of recordings that cannot be read.
        workers: processes that this one lets convert.
        processes, console: who takes part, and where the progress is shown.
        request: to stop.

    Raises:
        BadImageError: for a recording that cannot be read, unless these are skipped.
        OSError: when the frames cannot be written.
    """
    bad = BadImages(config.skip_bad_images)
    for samples in (dataset.train, dataset.test):
        if not isinstance(samples, CachedFrames):
            continue
        parts = missing_frames(samples, processes.rank, processes.world)
        if not parts:
            continue
        done, total = 0, sum(map(len, parts))
        console.print(f"converting {total:,} recordings to frames in {samples.folder}", soft_wrap=True)
        shown = time.perf_counter()
        prepared = request.interruptible(prepare_frames(samples, parts, workers))
        for part in track(
            prepared, "converting", len(parts), console=console, transient=True, disable=not console.is_terminal
        ):
            if request.signal_number:
                return
            bad.report(part.bad)
            if part.failure is not None:
                raise OSError(f"frames cannot be written: {part.failure}; choose another folder: --cache DIR")
            done += part.count
            if not console.is_terminal and time.perf_counter() - shown > BETWEEN_LINES:
                shown = time.perf_counter()
                console.print(f"converted {done:,} of {total:,} recordings")
