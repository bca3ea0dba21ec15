"""Reader for AEDAT 4, which iniVation's DV records, with the package `aedat`.

A file begins with #!AER-DAT4.0 and the size (32 bits) of a header: a flat buffer with the place of the table at the end
of the file, and the streams in XML. Packets follow, the number of a stream and a size (32 bits each) before each of
them. The package takes all of that for granted, so it is looked at first.

Source: inivation, AEDAT 4.0.
"""

import struct
from pathlib import Path
from xml.etree import ElementTree

from trevsnn.data.events.ordering import Columns
from trevsnn.data.events.reading import AS_IT_STANDS, Reading, choose_camera
from trevsnn.data.events.recording import Events
from trevsnn.data.quiet import quiet

_START = len(b"#!AER-DAT4.0\r\n") + 4
_EVENTS = "EVTS"
_UNKNOWN = -1
"""Place of the table in a file that its program did not close."""


def read_aedat4(path: Path, reading: Reading = AS_IT_STANDS) -> Events:
    """The events of one stream of an AEDAT 4 file.

    Args:
        path: the file.
        reading: how to read what is open; cameras are streams, by their number, the name of the camera or the module.

    Raises:
        ValueError: when it holds no events, or those of several cameras, is cut off or damaged.
    """
    import aedat

    try:
        streams = _check(path)
    except (struct.error, ElementTree.ParseError, UnicodeDecodeError) as error:
        raise ValueError(f"it is damaged, or cut off in its header: {error}") from error
    cameras = {number: about for number, (kind, about) in streams.items() if kind == _EVENTS}
    if not cameras:
        others = ", ".join(f"{kind} ({about})" for kind, about in streams.values())
        raise ValueError(f"it holds no stream of events, only {others or 'none at all'}")
    chosen = int(choose_camera(cameras, reading))
    packets = []
    try:
        with quiet():  # Rust says at length what becomes an exception
            for packet in aedat.Decoder(str(path)):
                if packet["stream_id"] == chosen and "events" in packet:
                    packets.append(packet["events"])
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":  # of Rust, and no Exception
            raise ValueError(f"it is damaged: a packet cannot be decoded ({error})") from None
        raise
    columns = Columns(sum(map(len, packets)))
    for packet in packets:
        columns.add(packet["t"], packet["x"], packet["y"], packet["on"])
    return columns.events(reading)


def _check(path: Path) -> dict[str, tuple[str, str]]:
    """Type and description of the streams by their numbers; packets that are not whole are refused."""
    end = path.stat().st_size
    with path.open("rb") as file:
        (length,) = struct.unpack("<I", file.read(_START)[-4:])
        if length > end - _START:
            raise ValueError(f"it is cut off in its header: {length:,} bytes are said to follow, {end - _START:,} do")
        header = file.read(length)
        position, stop = _START + length, _end_of_packets(header)
        stop = end if stop == _UNKNOWN else stop
        while position < min(stop, end):
            file.seek(position)
            missing = position + 8 - end
            if missing <= 0:
                (size,) = struct.unpack("<4xi", file.read(8))
                if size < 0:
                    raise ValueError(f"it is damaged: byte {position} does not begin a packet")
                position += 8 + size
                missing = position - end
            if missing > 0:
                raise ValueError(f"it is cut off: {missing:,} bytes are missing at its end, or more")
        if stop > end or stop < position:
            raise ValueError(f"it is cut off: its packets end at byte {max(stop, position):,}, and it has {end:,}")
    return _streams(header)


def _end_of_packets(header: bytes) -> int:
    """Where the table begins: the second field of the flat buffer."""
    (root,) = struct.unpack_from("<I", header, 0)
    (back,) = struct.unpack_from("<i", header, root)
    fields = root - back
    if fields < 0:
        raise ValueError("it is damaged: its header is none")
    size, _, _, place = struct.unpack_from("<4H", header, fields)
    return struct.unpack_from("<q", header, root + place)[0] if size >= 8 and place else _UNKNOWN


def _streams(header: bytes) -> dict[str, tuple[str, str]]:
    start, stop = header.find(b"<dv"), header.rfind(b"</dv>")
    if start < 0 or stop < start:
        raise ValueError("it is damaged: its header does not say which streams it has")
    streams = {}
    for node in ElementTree.fromstring(header[start : stop + len(b"</dv>")].decode()).iterfind("./node/node"):
        said = {attribute.get("key"): (attribute.text or "").strip() for attribute in node.iter("attr")}
        parts = [said.get(key, "") for key in ("source", "originalModuleName")]
        size = " x ".join(filter(None, (said.get("sizeX"), said.get("sizeY"))))
        streams[node.get("name", "")] = said.get("typeIdentifier", ""), ", ".join(filter(None, (*parts, size)))[:100]
    return streams
