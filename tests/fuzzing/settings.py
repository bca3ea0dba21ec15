"""Settings, metrics and other text that belongs to a run."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import tomli_w
from cyclopts import CycloptsError
from fuzzing.mutation import deep_text, odd_value
from fuzzing.reader import Reader
from fuzzing.weights import small_weights

from trevsnn.cli.app import app
from trevsnn.data import BadImages, FramePreprocessing, Preprocessing
from trevsnn.training.config import TrainConfig, dump_config
from trevsnn.training.recipes import list_recipes, read_recipe
from trevsnn.training.run_folder import RunFolder

_WORDS = (
    *(
        b"'",
        b'"',
        b'"""',
        b"[",
        b"]",
        b"{",
        b"}",
        b"=",
        b".",
        b",",
        b"#",
        b"\\u",
        b"\\ud800",
        b"nan",
        b"-inf",
        b"1e999",
    ),
    *(b"true", b"null", b"9" * 5000, b"0x", b"1979-05-27T07:32:00Z", b"\n", b"\r\n", b"\x00", b"\xef\xbb\xbf", b"\xff"),
    "é\u2028中".encode(),
)


# TOML


def _recipes() -> list[bytes]:
    return [read_recipe(name).encode() for name in list_recipes()]


def _configs() -> list[bytes]:
    every = TrainConfig(data=Path("/data"), image_size=32, channels=(4, 4, 8, 8), sensor_size=(9, 9), depth=2, epochs=3)
    return [
        dump_config(name, config).encode() for name, config in (("digits", every), ("events/digits", TrainConfig()))
    ]


def _odd_toml(random: Random, data: bytes) -> bytes:
    """A setting of another type or size, deep values, long keys."""
    import tomllib

    if random.random() < 0.1:
        deep = (deep_text(random, "[", "]"), deep_text(random, "{a=", "}"), b"a" + b".a" * random.choice((900, 50_000)))
        return data + b"\nlr = " + random.choice(deep[:2]) if random.random() < 0.7 else deep[2] + b" = 1\n" + data
    values = tomllib.loads(data.decode())
    return tomli_w.dumps(odd_value(random, values)).encode()


def _read_config(path: Path) -> object:
    """As commands do that a run is given to."""
    _, values = RunFolder(path.parent).read_config()
    return TrainConfig(**values)


def _read_recipe(path: Path) -> object:
    """As `trevsnn train digits --recipe FILE`, up to the settings."""
    tokens = ["train", "digits", "--recipe", str(path)]
    try:
        return app.parse_args(tokens, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise ValueError(" ".join(str(error).split())) from error


# JSON


def _metrics() -> list[bytes]:
    row = {"loss": 1.5, "test_loss": 1.25, "test_accuracy": 0.5, "lr": 1e-3, "seconds": 1.0, "images_per_second": 9.0}
    more = {"bad_images": 0, "peak_memory_kind": "peak RSS", "peak_memory_bytes": 10**8}
    rows = [{"epoch": epoch, **row, **more} for epoch in range(1, 4)]
    return ["".join(json.dumps(row) + "\n" for row in rows).encode(), b""]


def small_metrics() -> bytes:
    """Of three epochs."""
    return _metrics()[0]


def _odd_lines(random: Random, data: bytes) -> bytes:
    lines = data.decode().splitlines()
    which = random.randrange(len(lines))
    if random.random() < 0.1:
        line = deep_text(random, "[", "]").decode()
    else:
        line = json.dumps(odd_value(random, json.loads(lines[which])), ensure_ascii=random.random() < 0.5)
    lines[which] = line
    return "\n".join(lines).encode(errors="surrogatepass")


def _read_metrics(path: Path) -> object:
    """As `trevsnn report` and the end of a training do: every row has to have what they show."""
    history = RunFolder(path.parent).read_metrics()
    for row in history:
        for name in ("epoch", "loss", "test_loss", "test_accuracy", "lr"):
            math.isfinite(row[name])
    return max(history, key=lambda row: row["test_accuracy"], default=None)


def _descriptions() -> list[bytes]:
    images = Preprocessing(input_size=(1, 32, 32), native_size=(8, 8))
    return [json.dumps(asdict(images)).encode(), json.dumps(asdict(_FRAMES)).encode()]


_FRAMES = FramePreprocessing(input_size=(2, 16, 16), sensor_size=(34, 34))


def _odd_json(random: Random, data: bytes) -> bytes:
    return json.dumps(odd_value(random, json.loads(data))).encode()


def _read_description(path: Path) -> object:
    """What weights say about their input, as `trevsnn predict` takes it: the metadata's JSON, an object."""
    try:
        values = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None  # which `read_weights_info` refuses
    if not isinstance(values, Mapping):
        return None
    try:
        return (FramePreprocessing if "sensor_size" in values else Preprocessing).from_dict(values)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error  # it has no file of its own


def _read_bad_images(path: Path) -> Any:
    return BadImages(True, path).count()


def _in_a_run(command: str) -> Callable[[Path], Sequence[object]]:
    """A command on a run folder of which this is a file."""

    def tokens(path: Path) -> Sequence[object]:
        for name, content in (
            ("config.toml", _configs()[0]),
            ("model.safetensors", small_weights()),
            ("metrics.jsonl", small_metrics()),
        ):
            if name != path.name:
                path.with_name(name).write_bytes(content)
        return command, path.parent

    return tokens


READERS = (
    Reader(
        name="config.toml",
        file="config.toml",
        seeds=_configs,
        read=_read_config,
        restructure=_odd_toml,
        words=_WORDS,
        command=_in_a_run("eval"),
    ),
    Reader(
        name="recipe",
        file="recipe.toml",
        seeds=_recipes,
        read=_read_recipe,
        restructure=_odd_toml,
        words=_WORDS,
        command=lambda path: ("train", "digits", "--recipe", path, "--dry-run"),
        quick=10,
    ),
    Reader(
        name="metrics",
        file="metrics.jsonl",
        seeds=_metrics,
        read=_read_metrics,
        restructure=_odd_lines,
        words=_WORDS,
        command=_in_a_run("report"),
    ),
    Reader(
        name="preprocessing",
        file="preprocessing.json",
        seeds=_descriptions,
        read=_read_description,
        restructure=_odd_json,
        words=_WORDS,
    ),
    Reader(
        name="bad images",
        file="bad_images.txt",
        seeds=lambda: [b"'a.png' is not an image that can be read\n"],
        read=_read_bad_images,
        words=_WORDS,
    ),
)
