"""What fuzzing has found, so that it stays found: an input for every fault, the reader that had it, and what it was."""

import io
import json
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import h5py
import numpy as np
import torch
from fuzzing import event_files, pictures, settings, weights


class Case(NamedTuple):
    """An input of a reader."""

    reader: str
    what: str
    make: Callable[[], bytes]


def _hdf5(column: Callable[[h5py.File], object]) -> bytes:
    """Columns of which t is made otherwise."""
    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        for name in "xyp":
            opened[name] = np.zeros(40, int)
        column(opened)
    return file.getvalue()


def _long_jpeg2000() -> bytes:
    """Three boxes that begin well; the last says that it has 2^62 bytes."""
    first = bytes.fromhex("0000000c 6a502020 0d0a870a 00000014") + b"ftypjp2 \0\0\0\0jp2 "
    return first + struct.pack(">I4sQ", 1, b"jp2h", 2**62)


def _long_list_in_hdf5() -> bytes:
    """Lists in a column, the first of which claims 2^31 - 1 numbers; the library does not come back from it."""
    place = 0

    def lists(file: h5py.File) -> None:
        nonlocal place
        column = file.create_dataset("t", (40,), h5py.vlen_dtype(np.int32))
        column[0] = [1, 2, 3]
        place = column.id.get_offset()

    data = bytearray(_hdf5(lists))
    struct.pack_into("<I", data, place, 2**31 - 1)
    return bytes(data)


def _tree_without_end() -> bytes:
    """The node of a group's names is its own right neighbour."""
    data = bytearray(_hdf5(lambda file: file.create_dataset("t", data=range(40))))
    place = data.index(b"TREE")
    struct.pack_into("<Q", data, place + 16, place)
    return bytes(data)


def _heap_without_end() -> bytes:
    """A column of other files, the heap with whose names goes on with an object of no size."""

    def elsewhere(file: h5py.File) -> None:
        layout = h5py.VirtualLayout((40,), "i8")
        layout[:] = h5py.VirtualSource("/nowhere.h5", "t", (40,))
        file.create_virtual_dataset("t", layout)

    data = bytearray(_hdf5(elsewhere))
    place = data.index(b"GCOL") + 16
    (size,) = struct.unpack_from("<Q", data, place + 8)
    struct.pack_into("<Q", data, place + 16 + -(-size // 8) * 8 + 8, 0)
    return bytes(data)


def _large_dictionary() -> bytes:
    """Arrays packed by LZMA, which is to look back by 4 GB."""
    arrays = {f"{name}.npy": event_files.saved(np.arange(40)) for name in "txyp"}
    data = bytearray(event_files.zipped([*arrays.items()], zipfile.ZIP_LZMA))
    place = -1
    while (place := data.find(b"\x09\x04\x05\0\x5d", place + 1)) >= 0:
        struct.pack_into("<I", data, place + 5, 2**32 - 16)
    return bytes(data)


def _aedat_4(part: bytes, change: bytes) -> bytes:
    (data,) = event_files.aedat_4()
    return data.replace(part, change, 1)


def _array(header: str, values: bytes) -> bytes:
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + values


def _tar(name: str, content: bytes, size: int | None = None, more: Mapping[str, str] | None = None) -> bytes:
    """A shard of a picture and its class, one of which is this member; its header may say another size, and more."""
    kinds = {"png": ("000.png", pictures.small_png()), "cls": ("000.cls", b"0")}
    kinds["cls" if name.endswith("json") else name[-3:]] = name, content
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member, data in kinds.values():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            if member == name:
                info.pax_headers = dict(more or {})
            tar.addfile(info, io.BytesIO(data))
    whole = bytearray(file.getvalue())
    if size is not None:
        place = whole.index(name.encode() + b"\0")
        whole[place + 124 : place + 136] = b"%011o\0" % size
        whole[place + 148 : place + 156] = b" " * 8
        whole[place + 148 : place + 156] = b"%06o\0 " % sum(whole[place : place + 512])
    return bytes(whole)


def _before_a_tar(*headers: tuple[bytes, bytes]) -> bytes:
    """Kind and content of members that say something of the next one, each."""
    blocks = b""
    for kind, content in headers:
        info = tarfile.TarInfo("more")
        info.type, info.size = kind, len(content)
        blocks += info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512)
    return blocks + _tar("000.cls", b"0")


_SPARSE = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(10**11)}


def _safetensors(**metadata: str) -> bytes:
    return weights.described_otherwise(metadata)


def _checkpoint(change: Callable[[torch.Tensor], Any], name: str = "subnet0.alpha0") -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns of what it can but will not always
        return weights.checkpoint_with(name, change)


def _packed(data: bytes) -> bytes:
    """The records of a zip file, compressed."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in archive.namelist():
            packed.writestr(name, archive.read(name))
    return file.getvalue()


def _modules_in_modules() -> bytes:
    """Each of which holds the next one twice."""
    module = torch.nn.Sequential()
    for _ in range(30):
        module = torch.nn.Sequential(module, module)
    return weights.saved(module)


def _dictionaries_in_dictionaries() -> bytes:
    """Each of which holds the next one under a thousand names."""
    inner: dict[str, Any] = {}
    for _ in range(3):
        inner = {str(number): inner for number in range(1000)}
    return weights.saved(inner)


def _nested(values: torch.Tensor) -> torch.Tensor:
    return torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])


def _quantised(values: torch.Tensor) -> torch.Tensor:
    return torch.quantize_per_tensor(values, 0.1, 0, torch.qint8)


def _description(**values: Any) -> bytes:
    return json.dumps({"input_size": (1, 32, 32), **values}).encode()


def _clips(**values: Any) -> bytes:
    return json.dumps({"input_size": (2, 16, 16), "sensor_size": (34, 34), **values}).encode()


DEEP, MANY_DIGITS = "[" * 100_000, "9" * 5000
_HUGE = 2**31

CASES = (
    Case("aedat2", "a version of 10,000 characters", lambda: b"#!AER-DAT" + bytes(range(14, 114)) * 100),
    Case("aedat4", "a header longer than the file", lambda: _aedat_4(b"4.0\r\n", b"4.0\r\n\xf0\xff\xff\xff")),
    Case("aedat4", "a description of 4 GB", lambda: _aedat_4(b"\0<dv ", b"\xf5<dv ")),
    Case("aedat4", "a description that is no UTF-8", lambda: _aedat_4(b" type=", b" ty\x92pe=")),
    Case(
        "npy",
        "a header as Python 2 wrote it",
        lambda: _array("{'descr': '<i8', 'fortran_order': False, 'shape': (0L, 4L), }", b""),
    ),
    Case(
        "npy",
        "a header with an escape that is none",
        lambda: _array("{'descr': '\\d', 'fortran_order': False, 'shape': (0,), }", b""),
    ),
    Case("npy", "a header of 60,000 blanks that is none", lambda: _array("{'descr': ?" + " " * 60_000, b"")),
    Case("npy", "numbers beyond float16", lambda: event_files.saved(np.full((10, 4), np.inf, "f2"))),
    Case("npy", "times beyond 64 bits", lambda: event_files.saved(np.full((10, 4), 1e300))),
    Case("npz", "a dictionary of 4 GB", _large_dictionary),
    Case("hdf5", "a list of 2^31 numbers in 7 kB", _long_list_in_hdf5),
    Case("hdf5", "a heap without end", _heap_without_end),
    Case("hdf5", "a tree without end", _tree_without_end),
    Case(
        "hdf5",
        "2^40 numbers in 4 kB",
        lambda: _hdf5(lambda file: file.create_dataset("t", (2**40,), "i8", chunks=True)),
    ),
    Case(
        "hdf5",
        "10^8 numbers in 4 kB",
        lambda: _hdf5(lambda file: file.create_dataset("t", (10**8,), "i8", chunks=True)),
    ),
    Case("gesture labels", "a time beyond 64 bits", lambda: b"class,start,end\n1,0,10000000000000000000000"),
    Case("gesture trials", "no UTF-8", lambda: b"\x98user01_led.aedat\n"),
    Case("pictures", "a TIFF tag larger than the file", lambda: pictures.tiff_with(0x0100, 4, 10_000)),
    Case("pictures", "a TIFF of 51,290 samples per pixel", lambda: pictures.tiff_with(0x0115, 3, 1, 51_290)),
    Case("pictures", "a TIFF of a JPEG that is none", lambda: pictures.tiff_with(0x0103, 3, 1, 7)),
    Case("pictures", "138 million pixels in 1 kB", lambda: pictures.bmp_of(11_700, 11_800)),
    Case("png", "an animation of no frame", lambda: pictures.png_with(b"acTL", bytes(8))),
    Case("tar shards", "a deep class", lambda: _tar("000.json", DEEP.encode())),
    Case("tar shards", "a class of 5,000 digits", lambda: _tar("000.json", f'{{"label": {MANY_DIGITS}}}'.encode())),
    Case("tar shards", "a class of 5,000 digits as text", lambda: _tar("000.cls", MANY_DIGITS.encode())),
    Case("tar shards", "a class longer than the file", lambda: _tar("000.cls", b"0", size=8**11 - 1)),
    Case("tar shards", "a sparse class of 10^11 bytes", lambda: _tar("000.cls", b"0", more=_SPARSE)),
    Case("tar shards", "a sparse picture of 10^11 bytes", lambda: _tar("000.png", b"0", more=_SPARSE)),
    Case("tar shards", "a header of 200,000 digits", lambda: _before_a_tar((b"x", b"1" * 200_000))),
    Case("tar shards", "a length beyond 64 bits", lambda: _before_a_tar((b"x", b"9" * 20 + b" path=a\n"))),
    Case("tar shards", "500 headers of headers", lambda: _before_a_tar(*[(b"x", b"9 path=a\n")] * 500)),
    Case("tar shards", "1,000 long names", lambda: _before_a_tar(*[(b"L", b"name\0")] * 1000)),
    Case("tar shards", "a class of number 999,999", lambda: _tar("000.cls", b"999999")),
    Case("class names", "no UTF-8", lambda: b"\x95\n\xff"),
    Case("safetensors", "deep options", lambda: _safetensors(options=DEEP)),
    Case("safetensors", "an option of 5,000 digits", lambda: _safetensors(options=f'{{"timesteps": {MANY_DIGITS}}}')),
    Case(
        "safetensors",
        "options of a network a million times the file",
        lambda: _safetensors(options='{"channels": [100000, 100000], "num_classes": 2}'),
    ),
    Case(
        "safetensors",
        "options of 10^9 classes",
        lambda: _safetensors(options='{"num_classes": 1000000000}', class_names="null"),
    ),
    Case("safetensors", "a shape beyond 64 bits", lambda: _safetensors(options='{"in_chans": 10000000000000000000}')),
    Case("safetensors", "complex numbers", weights.complex_weights),
    Case("safetensors", "10^6 steps", lambda: _safetensors(options='{"timesteps": 1000000, "num_classes": 2}')),
    Case("safetensors", "10^9 blocks", lambda: _safetensors(options='{"depth": 1000000000, "num_classes": 2}')),
    Case(
        "safetensors",
        "10^5 levels",
        lambda: _safetensors(options=json.dumps({"channels": [2] * 10**5, "num_classes": 2})),
    ),
    Case("rare pictures", "a header of 2^62 bytes in a JPEG 2000", _long_jpeg2000),
    Case("safetensors", "preprocessing that is none", lambda: _safetensors(preprocessing='{"": 0}')),
    Case(
        "safetensors",
        "preprocessing to gigabytes",
        lambda: _safetensors(preprocessing='{"input_size": [1, 100000, 100000]}'),
    ),
    Case("safetensors", "a line break in the header", lambda: weights.small_weights().replace(b'"F32"', b'"\\n32"', 1)),
    Case("checkpoint", "a nested tensor", lambda: _checkpoint(_nested)),
    Case("checkpoint", "a quantised tensor", lambda: _checkpoint(_quantised)),
    Case(
        "checkpoint",
        "10^9 channels of one number",
        lambda: _checkpoint(lambda values: torch.zeros(1).expand(1, 10**9, 1, 1)),
    ),
    Case("checkpoint", "a line break in a name", lambda: weights.checkpoint_of("subnet0.\nalpha0")),
    Case("checkpoint", "a frame of 2^60 bytes", lambda: b"\x80\x04\x95" + bytes(7) + b"\x10}."),
    Case("checkpoint", "an array of 2^30 bytes", lambda: b"\x80\x05\x96" + struct.pack("<Q", 2**30) + b"."),
    Case("checkpoint", "packed zeros", lambda: _packed(weights.saved({"a": torch.zeros(50_000_000)}))),
    Case("checkpoint", "a name of 2^60 tuples", lambda: b"\x80\x04})" + b"2\x86" * 60 + b"K\0s."),
    Case("checkpoint", "2^30 modules of 30", _modules_in_modules),
    Case("checkpoint", "10^9 dictionaries of 3", _dictionaries_in_dictionaries),
    Case("training state", "settings that are a number", lambda: weights.state_with(config=7)),
    Case("training state", "steps of 2^62 images", lambda: weights.state_with(effective_batch=2**62)),
    Case("training state", "steps of -2 images", lambda: weights.state_with(effective_batch=-2)),
    Case("training state", "processes of 5,000 digits", lambda: weights.state_with(processes=10**5000)),
    Case("training state", "a class of a line break", lambda: weights.state_with(class_names=["\n"])),
    Case("training state", "epochs without metrics", lambda: weights.state_with(history=[{"epoch": 1}])),
    Case("training state", "an epoch so far in words", lambda: weights.state_with(epoch={"lr": "0.1", "steps": 0})),
    Case("config.toml", "deep lists", lambda: f"dataset = 'digits'\nlr = {DEEP}".encode()),
    Case("config.toml", "deep tables", lambda: b"dataset = 'digits'\nlr = " + b"{a=" * 10_000),
    Case("config.toml", "a key of 100,000 parts", lambda: b"a" + b".a" * 100_000 + b" = 1"),
    Case("config.toml", "5,000 digits", lambda: f"dataset = 'digits'\nepochs = {MANY_DIGITS}".encode()),
    Case("config.toml", "a data set that is a number", lambda: b"dataset = 5"),
    Case("config.toml", "a number of 400 digits", lambda: b"dataset = 'digits'\nlr = " + b"9" * 400),
    Case("config.toml", "an unknown field after 200,000 empty lines", lambda: b"\n" * 200_000 + b"lrx = 1"),
    Case("config.toml", "a path that is a number", lambda: b"dataset = 'digits'\ndata = 5.0"),
    Case("config.toml", "a value out of range", lambda: b"dataset = 'digits'\ncrop_scale = [1.0]"),
    Case("config.toml", "a policy of a line break", lambda: b"dataset = 'digits'\nauto_augment = '''\n\n'''"),
    Case("recipe", "a value out of range", lambda: b"ema_decay = 990000.0"),
    Case("recipe", "a warm-up in words", lambda: b"warmup_epochs = '3'"),
    Case("recipe", "half a pixel", lambda: b"kernel_size = 0.5"),
    Case("recipe", "a learning rate of 0", lambda: b"lr = 0"),
    Case("recipe", "one number of two", lambda: b"crop_scale = [1.0]"),
    Case("recipe", "deep lists", lambda: f"lr = {DEEP}".encode()),
    Case("metrics", "deep lists", lambda: DEEP.encode()),
    Case("metrics", "no object", lambda: b"5\n"),
    Case("metrics", "no loss", lambda: settings.small_metrics().replace(b'"loss"', b'"lost"')),
    Case("metrics", "a loss in words", lambda: settings.small_metrics().replace(b'"loss": 1.5', b'"loss": "1.5"')),
    Case("preprocessing", "a name of a line break", lambda: _description(**{"me\n": 1})),
    Case("preprocessing", "2^31 frames", lambda: _clips(timesteps=_HUGE)),
    Case("preprocessing", "frames of 2^31 pixels a side", lambda: _clips(input_size=(2, _HUGE, _HUGE))),
    Case("preprocessing", "a sensor of 2^31 pixels a side", lambda: _clips(sensor_size=(_HUGE, _HUGE))),
    Case("preprocessing", "pictures of 2^31 pixels a side", lambda: _description(input_size=(1, _HUGE, _HUGE))),
    Case("preprocessing", "a crop of a billionth", lambda: _description(crop_pct=1e-9)),
    Case("preprocessing", "reduced to 2^31 pixels a side", lambda: _description(native_size=(_HUGE, _HUGE))),
    Case("bad images", "no UTF-8", lambda: b"\xa7.png\n"),
)
