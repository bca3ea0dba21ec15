"""Recordings of every format."""

import io
import struct
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np
from fuzzing.mutation import NUMBERS
from fuzzing.reader import Reader
from recordings import HEADER_2, HEADER_3, event_2, event_3, event_atis, packet_3

from trevsnn.data.events import files
from trevsnn.data.events.budget import most_unpacked
from trevsnn.data.events.dvs128gesture import GESTURES, dvs128gesture
from trevsnn.data.events.hdf5_structure import check_ends

COUNT = 40


def _columns() -> dict[str, Any]:
    number = np.arange(COUNT)
    return {"t": 100 * number, "x": number % 7, "y": number % 5, "p": number % 2}


def _bytes(write: Callable[[Any], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


# AEDAT 2.0 and 3.1, N-MNIST


def _aedat_2() -> list[bytes]:
    events = [event_2(i % 128, i // 3 % 128, i % 2, 10 * i, other=i % 9 == 8) for i in range(COUNT)]
    return [HEADER_2 + b"".join(events), HEADER_2.replace(b"\r\n", b"\n") + events[0], HEADER_2]


def _aedat_3() -> list[bytes]:
    events = [event_3(i % 128, i // 3 % 128, i % 2, 10 * i, valid=i % 9 != 8) for i in range(COUNT)]
    other = packet_3([bytes(12)], kind=0, size=12)
    return [
        HEADER_3 + packet_3(events[:20], capacity=25) + other + packet_3(events[20:]),
        HEADER_3 + packet_3(events) + packet_3(events, overflows=1),
        HEADER_3,
    ]


def _repacket(random: Random, data: bytes) -> bytes:
    """Packets of AEDAT 3.1, a field of whose headers is another number."""
    end = data.index(b"#!END-HEADER")
    start = data.index(b"\n", end) + 1
    header, packets = bytearray(data[:start]), []
    while start + 28 <= len(data):
        size, capacity = struct.unpack_from("<i8xi", data, start + 4)
        stop = start + 28 + max(0, size * capacity)
        packets.append(bytearray(data[start:stop]))
        start = stop
    packet = random.choice(packets)
    place, code = random.choice(((0, "<h"), (2, "<h"), (4, "<i"), (8, "<i"), (12, "<i"), (16, "<i"), (20, "<i")))
    bits = 8 * struct.calcsize(code) - 1
    number = random.choice([number for number in NUMBERS if -(2**bits) <= number < 2**bits])
    struct.pack_into(code, packet, place, number)
    if random.random() < 0.3:
        packets.append(random.choice(packets))
    if random.random() < 0.3:
        random.shuffle(packets)
    return bytes(header) + b"".join(packets)


def _atis() -> list[bytes]:
    events = [event_atis(i % 34, 240 if i % 11 == 10 else i // 3 % 34, i % 2, 10 * i) for i in range(COUNT)]
    return [b"".join(events), events[0], b""]


_HEADER_DAT = b"% Data file containing CD events.\n% Version 2\n% Date 2026-1-1 10:00:00\n% Height 48\n% Width 64\n"


def _dat() -> list[bytes]:
    t, x, y, p = _columns().values()
    events = np.stack([t, x | y << 14 | p << 28], 1).astype("<u4").tobytes()
    return [_HEADER_DAT + b"\x0c\x08" + events, b"% Version 2\n\x00\x08" + events[:8], _HEADER_DAT + b"\x0c\x08"]


def aedat_4() -> list[bytes]:
    try:
        import dv_processing as dv
    except ImportError:
        return []
    store = dv.EventStore()
    for t, x, y, p in zip(*(column.tolist() for column in _columns().values()), strict=True):
        store.push_back(t, x, y, bool(p))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.aedat4"
        writer = dv.io.MonoCameraWriter(str(path), dv.io.MonoCameraWriter.EventOnlyConfig("DVXplorer_0", (64, 48)))
        writer.writeEvents(store)
        del writer  # closes the file
        return [path.read_bytes()]


# NumPy's files


def _structured() -> np.ndarray:
    array = np.empty(COUNT, [("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "?")])
    for name, values in _columns().items():
        array[name] = values
    return array


def saved(array: np.ndarray) -> bytes:
    """An .npy file."""
    return _bytes(lambda file: np.save(file, array))


def _npy() -> list[bytes]:
    arrays = [_structured(), np.stack(list(_columns().values()), 1), np.zeros((0, 4), int)]
    return [_bytes(lambda file, array=array: np.save(file, array)) for array in arrays]


def _npz() -> list[bytes]:
    signed = {**_columns(), "p": 2 * _columns()["p"].astype(np.int8) - 1}
    return [
        _bytes(lambda file: np.savez(file, **_columns())),
        _bytes(lambda file: np.savez_compressed(file, **signed)),
    ]


_TYPES = (
    *("<i8", ">i8", "<i2", "|u1", "|b1", "<u8", "<f8", "<f2", "<f4"),
    *("<c16", "|O", "|S3", "<U2", "<M8[us]", "<m8[s]"),
)
_SHAPES = ("(40,)", "(0,)", "()", "(39,)", "(41,)", "(40, 1)", "(10, 4)", "(-1,)", "(1000000000000,)", "(2**40, 4)")
_ODD_SHAPES = ("(1000000000,)", "(0, 1000000000000000000000)", "(True,)", "[40]", "40", "('a',)", "(40.0,)", "((((", "")


def _odd_array(random: Random) -> bytes:
    """An .npy file whose header says something else than what follows it."""
    kind = repr(random.choice(_TYPES))
    if random.random() < 0.3:
        names = random.choice(("txyp", "tttt", "txy", ("t", "x", "y", "p", "z"), ("", "x", "y", "p")))
        fields = [(name, random.choice(_TYPES)) for name in names]
        if random.random() < 0.2:
            fields[0] = (*fields[0], random.choice(((3,), (), (2**31,))))  # type: ignore[assignment]
        kind = repr(fields)
    shape = random.choice(_SHAPES + _ODD_SHAPES)
    order = random.choice(("False", "False", "True", "None"))
    header = f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    header = header.ljust(random.choice((118, 118, 118, 10_100))) + b"\n"
    values = random.choice((np.arange(COUNT), np.full(COUNT, -1), np.zeros(COUNT, int), np.full(COUNT, 2**62)))
    if random.random() < 0.2:
        values = random.choice(
            (np.full(COUNT, np.nan), np.full(COUNT, 0.5), np.full(COUNT, np.inf), np.full(COUNT, 1e300))
        )
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + values.tobytes()


def _odd_npy(random: Random, data: bytes) -> bytes:
    return _odd_array(random)


def _odd_npz(random: Random, data: bytes) -> bytes:
    """Right sums and sizes around an array that is wrong, missing, there twice, or large and empty."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    what, place = random.randrange(6), random.randrange(len(members))
    name, content = members[place]
    if what == 0:
        del members[place]
    elif what == 1:
        members.append(random.choice(members))
    elif what == 2:
        members[place] = (random.choice(("t", "t.npy", "x.npz", "../t.npy", "é.npy", "")), content)
    elif what == 3:
        members[place] = (name, b"no array")
    elif what == 4:
        return _large_and_empty(random.choice((30_000, 1_000_000)), random.choice(("u1", "i8", "f8")))
    else:
        members[place] = (name, _odd_array(random))
    return zipped(members, random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)))


@cache
def _large_and_empty(count: int, kind: str) -> bytes:
    """A small file of a large recording."""
    column = _bytes(lambda file: np.save(file, np.zeros(count, kind)))
    return zipped([(f"{name}.npy", column) for name in "txyp"], zipfile.ZIP_DEFLATED)


def zipped(members: Sequence[tuple[str, bytes]], method: int) -> bytes:
    """A zip file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def _npz_content(path: Path) -> int:
    """What a reader has to unpack: what the file says that the arrays hold, as far as that is believed."""
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            return max(size, min(sum(info.file_size for info in archive.infolist()), most_unpacked(size)))
    except Exception:
        return size


# HDF5


def _hdf5(write: Callable[[h5py.File], object]) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        write(opened)
    return file.getvalue()


def _write_columns(group: h5py.Group, columns: Mapping[str, Any] | None = None, **options: Any) -> None:
    for name, values in (columns or _columns()).items():
        group.create_dataset(name, data=values, **options)


def _hdf5_seeds() -> list[bytes]:
    return [
        _hdf5(_write_columns),
        _hdf5(lambda file: _write_columns(file.create_group("events"), chunks=(16,), compression="gzip")),
        _hdf5(lambda file: file.create_dataset("events", data=_structured())),
        _hdf5(lambda file: file.create_dataset("events", data=np.stack(list(_columns().values()), 1))),
    ]


def _odd_hdf5(random: Random, data: bytes) -> bytes:
    """A file of which a column, or the group, is something else."""

    def write(file: h5py.File) -> None:
        group = file if random.random() < 0.5 else file.create_group("events")
        odd = random.choice("txyp")
        for name, values in _columns().items():
            if name == odd:
                _write_odd(random, group, name)
            else:
                group[name] = values
        if random.random() < 0.2:
            del group[odd]

    return _hdf5(write)


def _write_odd(random: Random, group: h5py.Group, name: str) -> None:
    what = random.randrange(11)
    if what == 0:
        group.create_group(name)
    elif what == 1:
        group[name] = h5py.SoftLink(random.choice(("/nowhere", f"/{name}", "/", "/x", ".")))
    elif what == 2:
        group[name] = h5py.ExternalLink("/nowhere.h5", "/t")
    elif what == 3:
        group[name] = random.choice((0, 1.5, "text", np.nan, h5py.Empty("i8"), b"bytes"))
    elif what == 4:
        group[name] = np.array(["a", "b"] * (COUNT // 2), h5py.string_dtype())
    elif what == 5:
        large = random.choice(((10**6,), (10**10,), (2**40, 4)))
        shape = large if random.random() < 0.1 else random.choice(((0,), (COUNT, 1), (1, COUNT), ()))
        group.create_dataset(name, shape, random.choice(("i8", "u1", "f8")), chunks=bool(shape and shape[0]) or None)
    elif what == 6:
        group.create_dataset(name, data=np.zeros(100_000, "i8"), compression="gzip", chunks=(10_000,))
    elif what == 7:
        kinds = ("f2", "f4", ">i8", "u8", "c8", "?", "S4", h5py.ref_dtype, h5py.vlen_dtype(np.int32))
        kind = np.dtype(random.choice(kinds))
        group.create_dataset(name, (COUNT,), kind)
    elif what == 8:
        group[name] = _structured()
    elif what == 9:
        layout = h5py.VirtualLayout((COUNT,), "i8")
        layout[:] = h5py.VirtualSource("/nowhere.h5", "t", (COUNT,))
        group.create_virtual_dataset(name, layout)
    else:
        group[name] = random.choice((np.full(COUNT, 2**63, "u8"), np.full(COUNT, np.nan), -np.arange(COUNT)))


def _hdf5_content(path: Path) -> int:
    """What a reader has to unpack: the columns as they are declared, as far as that is believed."""
    size = path.stat().st_size
    try:
        check_ends(path, 8, 8, 0)
        with h5py.File(path) as file:
            sizes: list[int] = []
            file.visititems(lambda _, found: sizes.append(found.nbytes) if isinstance(found, h5py.Dataset) else None)
            return max(size, min(sum(sizes), most_unpacked(size)))
    except Exception:
        return size


# DVS128 Gesture's labels and listings


def _read_gestures(path: Path) -> object:
    root = path.parent
    for user in ("user01_led", "user02_led", "user29_led"):
        _once(root / f"{user}.aedat", HEADER_3)
        _once(root / f"{user}_labels.csv", _labels()[0])
    for split, user in (("train", "user01_led"), ("test", "user29_led")):
        _once(root / f"trials_to_{split}.txt", f"{user}.aedat\n".encode())
    return dvs128gesture(root)


def _once(path: Path, content: bytes) -> None:
    if not path.exists():
        path.write_bytes(content)


def _labels() -> list[bytes]:
    head = "class,startTime_usec,endTime_usec"
    rows = [f"{1 + i % len(GESTURES)},{i * 100_000},{(i + 1) * 100_000}" for i in range(12)]
    return ["\n".join([head, *rows]).encode(), "\r\n".join([head, rows[0], ""]).encode()]


def _listings() -> list[bytes]:
    return [b"user01_led.aedat\n", b"user01_led.aedat\r\nuser02_led.aedat\r\n"]


# Long recordings

LONG = 400_000


@cache
def _long_columns() -> dict[str, Any]:
    random = np.random.default_rng(0)
    return {
        "t": np.cumsum(random.integers(0, 4, LONG)),
        "x": random.integers(0, 128, LONG, dtype=np.int16),
        "y": random.integers(0, 128, LONG, dtype=np.int16),
        "p": random.integers(0, 2, LONG, dtype=np.uint8),
    }


def _long_aedat_2() -> dict[str, bytes]:
    records, (t, x, y, p) = np.empty((LONG, 2), ">u4"), _long_columns().values()
    records[:, 0], records[:, 1] = y.astype(int) << 8 | x.astype(int) << 1 | p, t
    return {"records": HEADER_2 + records.tobytes()}


def _long_aedat_3() -> dict[str, bytes]:
    records, (t, x, y, p) = np.empty((LONG, 2), "<u4"), _long_columns().values()
    records[:, 0], records[:, 1] = x.astype(int) << 17 | y.astype(int) << 2 | p << 1 | 1, t
    found = {}
    for count in (LONG, 500):
        parts = [records[start : start + count] for start in range(0, LONG, count)]
        packets = [struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, *[len(part)] * 3) + part.tobytes() for part in parts]
        found[f"packets of {count:,} events"] = HEADER_3 + b"".join(packets)
    return found


def _long_atis() -> dict[str, bytes]:
    records, (t, x, y, p) = np.empty((LONG, 5), np.uint8), _long_columns().values()
    for place, column in enumerate((x, y, p << 7 | t >> 16, t >> 8 & 0xFF, t & 0xFF)):
        records[:, place] = column
    return {"records": records.tobytes()}


def _long_dat() -> dict[str, bytes]:
    records, (t, x, y, p) = np.empty((LONG, 2), "<u4"), _long_columns().values()
    records[:, 0], records[:, 1] = t, x.astype(int) | y.astype(int) << 14 | p.astype(int) << 28
    return {"records": _HEADER_DAT + b"\x0c\x08" + records.tobytes()}


def _long_npy() -> dict[str, bytes]:
    columns = _long_columns()
    structured = np.empty(LONG, [("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "?")])
    for name, values in columns.items():
        structured[name] = values
    table = np.stack(list(columns.values()), 1)
    return {"structured": saved(structured), "numbers of 64 bits": saved(table), "of 32": saved(table.astype("i4"))}


def _long_npz() -> dict[str, bytes]:
    return {
        "as they are": _bytes(lambda file: np.savez(file, **_long_columns())),
        "compressed": _bytes(lambda file: np.savez_compressed(file, **_long_columns())),
    }


def _long_hdf5() -> dict[str, bytes]:
    def write(**options: Any) -> bytes:
        return _hdf5(lambda file: _write_columns(file, _long_columns(), **options))

    return {"as they are": write(), "compressed": write(chunks=(50_000,), compression="gzip", compression_opts=1)}


_TEXT = (
    *(b",", b"\n", b"\r", b"\x00", b"-1", b"0", b"12", b"1e3", b"1.5", b"9" * 5000, b"\xef\xbb\xbf", b"\xff\xfe"),
    *("é,٣,".encode(), b"../", b"/dev/null", b".aedat", b"user01_led.aedat", "\u2028".encode(), b"9" * 18),
)


def _reader(name: str, file: str, seeds: Callable[[], Sequence[bytes]], **more: Any) -> Reader:
    defaults = {"read": files.read_recording, "command": _show}
    return Reader(name=name, file=file, seeds=seeds, **{**defaults, **more})


def _show(path: Path) -> Sequence[object]:
    return "show", path, "--output", path.with_suffix(".png")


def _train_gestures(path: Path) -> Sequence[object]:
    return "train", "events", "--dataset", "dvs128gesture", "--data", path.parent, "--dry-run"


_HEADERS = (b"#!AER-DAT2.0\r\n", b"#!AER-DAT3.1\r\n", b"#!END-HEADER\r\n", b"#", b"\n", b"#!AER-DAT4.0\r\n")
READERS = (
    _reader("aedat2", "recording.aedat", _aedat_2, large=_long_aedat_2, words=_HEADERS),
    _reader("aedat3", "recording.aedat", _aedat_3, large=_long_aedat_3, restructure=_repacket, words=_HEADERS),
    _reader("aedat4", "recording.aedat4", aedat_4),
    _reader("nmnist", "recording.bin", _atis, large=_long_atis),
    _reader(
        "dat",
        "recording.dat",
        _dat,
        large=_long_dat,
        words=(b"% ", b"% Version 2\n", b"% Version 3\n", b"% evt 3.0\n", b"\x0c\x08", b"\n"),
    ),
    _reader("npy", "recording.npy", _npy, large=_long_npy, restructure=_odd_npy, watched=("/numpy/lib/",)),
    _reader("npz", "recording.npz", _npz, large=_long_npz, restructure=_odd_npz, content=_npz_content),
    _reader("hdf5", "recording.h5", _hdf5_seeds, large=_long_hdf5, restructure=_odd_hdf5, content=_hdf5_content),
    _reader(
        "gesture labels",
        "user01_led_labels.csv",
        _labels,
        read=_read_gestures,
        command=_train_gestures,
        words=_TEXT,
    ),
    _reader(
        "gesture trials",
        "trials_to_train.txt",
        _listings,
        read=_read_gestures,
        command=_train_gestures,
        words=_TEXT,
    ),
)
