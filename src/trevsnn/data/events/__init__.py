"""Event cameras: recordings, the formats that they come in, a simulated camera, and frames."""

from typing import TYPE_CHECKING

from trevsnn._util.lazy import imported_on_use

if TYPE_CHECKING:
    from trevsnn.data.events.aedat import read_aedat
    from trevsnn.data.events.atis import read_atis
    from trevsnn.data.events.files import read_recording
    from trevsnn.data.events.frames import SplitBy, to_frames
    from trevsnn.data.events.reading import Reading
    from trevsnn.data.events.recording import Events
    from trevsnn.data.events.simulation import Camera, record

__all__ = [
    "Camera",
    "Events",
    "Reading",
    "SplitBy",
    "read_aedat",
    "read_atis",
    "read_recording",
    "record",
    "to_frames",
]

__getattr__, __dir__ = imported_on_use(
    __name__,
    aedat="read_aedat",
    atis="read_atis",
    files="read_recording",
    frames="SplitBy to_frames",
    reading="Reading",
    recording="Events",
    simulation="Camera record",
)
