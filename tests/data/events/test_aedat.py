"""Readers against files that are put together here byte by byte, as the formats say."""

import struct

import numpy as np
import pytest
from recordings import HEADER_2, HEADER_3, event_2, event_3, event_atis, packet_3

from trevsnn.data.events.aedat import read_aedat
from trevsnn.data.events.atis import read_atis


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
    assert columns(read_aedat(path, cut_off=True)) == [[10], [3], [5], [1]]
    with pytest.raises(ValueError, match=r"a\.aedat' is cut off: 3 bytes are missing"):
        read_aedat(path)


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
    whole = HEADER_3 + b"".join(packet_3([event_3(3, 5, 1, t), event_3(4, 6, 0, t + 1)]) for t in (100, 102))
    path.write_bytes(whole)
    assert columns(read_aedat(path)) == columns(read_aedat(path, cut_off=True))
    for length in range(len(whole) - 43, len(whole)):  # in its header, before its first event, and later
        path.write_bytes(whole[:length])
        assert (
            columns(read_aedat(path, cut_off=True))[0]
            == [100, 101, 102, 103][: 2 + max(0, length - len(whole) + 16) // 8]
        )
        with pytest.raises(ValueError, match="is cut off"):
            read_aedat(path)


def test_time_that_goes_backwards_is_refused(tmp_path):
    path = tmp_path / "a.aedat"
    path.write_bytes(HEADER_2 + event_2(1, 1, True, 10) + event_2(2, 2, True, 30) + event_2(3, 3, True, 20))
    with pytest.raises(ValueError, match="time goes backwards after event 1, from 30 to 20 microseconds"):
        read_aedat(path)


def test_no_events(tmp_path):
    for header in (HEADER_2, HEADER_3):
        (tmp_path / "a.aedat").write_bytes(header)
        assert len(read_aedat(tmp_path / "a.aedat")) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not an AEDAT file"),
        (b"PK\x03\x04", "is not an AEDAT file"),
        (b"#!AER-DAT4.0\r\nabc", r"is of AEDAT '4\.0'; 1\.0, 2\.0, 3\.0 and 3\.1 are read here, 4\.0 by"),
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
    path = tmp_path / "a.bin"
    path.write_bytes(
        event_atis(3, 5, 1, 10)
        + event_atis(33, 0, 0, 0x7FFFFF - 2**13)
        + event_atis(0, 240, 0, 0)
        + event_atis(1, 2, 1, 0x7FFFFF)
    )
    expected = [[10, 0x7FFFFF - 2**13, 0x7FFFFF + 2**13], [3, 33, 1], [5, 0, 2], [1, 0, 1]]
    assert columns(read_atis(path)) == expected
    assert np.issubdtype(read_atis(path).t.dtype, np.int64)
    path.write_bytes(event_atis(3, 5, 1, 10) + b"\1\2")
    with pytest.raises(ValueError, match=r"a\.bin' is cut off: it holds 7 bytes"):
        read_atis(path)


def test_aedat_3_whose_first_packet_looks_like_a_header_line(tmp_path):
    """Kind 35, of none that there is, begins with "#"."""
    path = tmp_path / "a.aedat"
    path.write_bytes(HEADER_3 + packet_3([b"\0" * 8], kind=35) + packet_3([event_3(3, 5, 1, 100)]))
    assert columns(read_aedat(path)) == [[100], [3], [5], [1]]
