"""`trevsnn show`: what it takes."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from trevsnn.choices import SplitBy, TimeUnit
from trevsnn.cli.commands.light import light
from trevsnn.cli.parameters import SEVERAL, Whole


@light
def show(
    recording: Path,
    /,
    *,
    run: Path | None = None,
    output: Path | None = None,
    time: Annotated[tuple[float, float] | None, SEVERAL] = None,
    timesteps: Whole | None = None,
    split_by: SplitBy | None = None,
    sensor_size: Annotated[tuple[Whole, Whole] | None, SEVERAL] = None,
    sort_events: Annotated[bool | None, Parameter(negative=())] = None,
    camera: str | None = None,
    time_unit: TimeUnit | None = None,
) -> None:
    """Draw the frames of a recording to a PNG file: red where it became brighter, blue where darker.

    Args:
        recording: File of events (.aedat, .aedat4, .bin, .dat, .npz, .npy, .h5).
        run: Run folder, or a weights file: cut the frames as for it (and set a file of CIFAR10-DVS upright), and draw
            also how often the neurons of each level fire at each of them, and which class they are taken for.
        output: PNG file to write; by default the recording's name, in this folder.
        time: Part of the recording, from and to (seconds after its first event).
        timesteps: Number of frames; 8 by default.
        split_by: Frames of the same number of events (default), or of the same time.
        sensor_size: Height and width of the sensor (pixels); by default as far as the events go.
        sort_events: Sort events whose time steps back; otherwise such a recording cannot be read.
        camera: Which camera of a recording of several: its name, number or place in the file.
        time_unit: Of t in a recording that is arrays: s, ms, us or ns; by default what it says, else integers are
            microseconds and others seconds.
    """
