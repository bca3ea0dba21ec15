"""Event cameras: recordings, the formats that they come in, a simulated camera, and frames."""

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
