"""Readers against files that are put together here byte by byte, as the formats say."""

import struct

import numpy as np
import pytest

from trevsnn.data.events.aedat import read_aedat
from trevsnn.data.events.atis import read_atis

HEADER_2 = (
    b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n# Data format is int32 address, int32 timestamp\r\n"
)
HEADER_3 = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#Start-Time: 2016-01-01 00:00:00\r\n#!END-HEADER\r\n"


def event_2(x, y, on, time, other=0):
    """A record of AEDAT 2.0: address and time, big-endian; polarity bit 0 is 0 for ON."""
    return struct.pack(">II", other << 15 | y << 8 | x << 1 | (0 if on else 1), time)


def event_3(x, y, on, time, valid=1):
    """A polarity event of AEDAT 3.1, little-endian."""
    return struct.pack("<II", x << 17 | y << 2 | on << 1 | valid, time)


def packet_3(events, kind=1, overflows=0, capacity=None, size=8):
    """A packet of AEDAT 3.1 whose capacity may be larger than its number of events."""
    capacity = len(events) if capacity is None else capacity
    header = struct.pack("<hhiiiiii", kind, 1, size, 4, overflows, capacity, len(events), len(events))
    return header + b"".join(events) + bytes(size * (capacity - len(events)))


def columns(events):
    return [column.tolist() for column in events.columns()]


def test_aedat_2(tmp_path):
    path = tmp_path / "a.aedat"
    path.write_bytes(
        HEADER_2
        + event_2(3, 5, True, 10)
        + event_2(127, 0, False, 0x01020304)
        + event_2(1, 1, True, 0x01020305, other=1)  # a special event, no pixel's
        + event_2(0, 127, True, 0xFFFFFFFF)
    )
    assert columns(read_aedat(path)) == [[10, 0x01020304, 0xFFFFFFFF], [3, 127, 0], [5, 0, 127], [1, 0, 1]]


def test_aedat_2_whose_first_event_looks_like_a_header_line(tmp_path):
    """0x23 is "#", but an address of a DVS128 begins with a zero byte."""
    path = tmp_path / "a.aedat"
    path.write_bytes(HEADER_2 + event_2(17, 35, False, 35))
    assert columns(read_aedat(path)) == [[35], [17], [35], [0]]


def test_aedat_2_cut_off_in_an_event(tmp_path):
    path = tmp_path / "a.aedat"
    path.write_bytes(HEADER_2 + event_2(3, 5, True, 10) + event_2(4, 6, False, 20)[:5])
    assert columns(read_aedat(path)) == [[10], [3], [5], [1]]


def test_aedat_3(tmp_path):
    path = tmp_path / "a.aedat"
    path.write_bytes(
        HEADER_3
        + packet_3([event_3(3, 5, 1, 100), event_3(127, 0, 0, 101), event_3(9, 9, 1, 102, valid=0)], capacity=7)
        + packet_3([b"\0" * 12], kind=0, size=12)  # a special event
        + packet_3([event_3(1, 127, 1, 5)], overflows=1)
    )
    assert columns(read_aedat(path)) == [[100, 101, 2**31 + 5], [3, 127, 1], [5, 0, 127], [1, 0, 1]]


def test_aedat_3_cut_off_in_its_last_packet(tmp_path):
    path = tmp_path / "a.aedat"
    whole = HEADER_3 + packet_3([event_3(3, 5, 1, 100), event_3(4, 6, 0, 101)]) * 2
    path.write_bytes(whole[:-3])
    assert columns(read_aedat(path))[0] == [100, 100, 101]
    for length in range(len(whole) - 30, len(whole) - 16):  # in its header, or before its first event
        path.write_bytes(whole[:length])
        assert columns(read_aedat(path))[0] == [100, 101]


def test_events_come_in_the_order_of_their_time(tmp_path):
    path = tmp_path / "a.aedat"
    path.write_bytes(HEADER_2 + event_2(1, 1, True, 30) + event_2(2, 2, True, 10) + event_2(3, 3, True, 10))
    assert columns(read_aedat(path))[:2] == [[10, 10, 30], [2, 3, 1]]


def test_no_events(tmp_path):
    for header in (HEADER_2, HEADER_3):
        (tmp_path / "a.aedat").write_bytes(header)
        assert len(read_aedat(tmp_path / "a.aedat")) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no AEDAT file"),
        (b"PK\x03\x04", "is no AEDAT file"),
        (b"#!AER-DAT4.0\r\nabc", r"is of AEDAT 4\.0; only 2\.0 and 3\.1"),
        (b"#!AER-DAT2.0", "cut off in its header"),
        (HEADER_2 + struct.pack(">II", 0x00A00000, 5), "not of a DVS128"),
        (HEADER_3 + b"\xff" * 60, "is damaged: byte 95 does not begin a packet"),
    ],
)
def test_what_is_none_is_named(tmp_path, content, message):
    (tmp_path / "a.aedat").write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        read_aedat(tmp_path / "a.aedat")
    assert "a.aedat" in str(error.value)


def test_atis(tmp_path):
    def event(x, y, on, time):
        return bytes([x, y, on << 7 | time >> 16, time >> 8 & 0xFF, time & 0xFF])

    path = tmp_path / "a.bin"
    path.write_bytes(
        event(3, 5, 1, 10)
        + event(33, 0, 0, 0x7FFFFF - 2**13)
        + event(0, 240, 0, 0)
        + event(1, 2, 1, 0x7FFFFF)
        + b"\1\2"
    )
    expected = [[10, 0x7FFFFF - 2**13, 0x7FFFFF + 2**13], [3, 33, 1], [5, 0, 2], [1, 0, 1]]
    assert columns(read_atis(path)) == expected
    assert np.issubdtype(read_atis(path).t.dtype, np.int64)
