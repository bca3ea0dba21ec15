"""`trevsnn predict`."""

import re
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from timm.data import ImageNetInfo

from trevsnn._util.suggest import shortened
from trevsnn.choices import Device
from trevsnn.cli.open_run import Trained, load_trained
from trevsnn.cli.output import check_json, plain_console, say, show_table, write_json
from trevsnn.data import BadImageError, FramePreprocessing, check_files, open_picture, pictures
from trevsnn.data.events import files as recordings
from trevsnn.data.inventory import Listing
from trevsnn.data.inventory import in_words as left_out_in_words
from trevsnn.data.listing import list_folder
from trevsnn.data.loading import TEST_BATCH
from trevsnn.data.registry import read_as
from trevsnn.models.config import check_count
from trevsnn.training import choose_device, predict

_WORDNET = re.compile(r"n\d{8}")


def predict_images(
    run: Path,
    /,
    *images: Path,
    top: int,
    invert: bool,
    skip_bad_images: bool,
    device: Device,
    json: Path | None,
) -> None:
    """See `trevsnn.cli.commands.predict`."""
    if not images:
        raise ValueError("no image to predict; give at least one image file, or a folder, after the run")
    check_count("top", top, 1)
    check_json(json)
    trained = load_trained(run, choose_device(device))
    preprocessing, names = trained.preprocessing, trained.info.class_names
    names = names or tuple(map(str, range(trained.model.num_classes)))
    clips = isinstance(preprocessing, FramePreprocessing)
    if clips and invert:
        raise ValueError("invert=True is for images; leave --invert out for recordings")
    things = "recordings" if clips else "images"
    listing = Listing(ways=recordings.NOT_READ if clips else pictures.NOT_READ)
    files = _find(images, recordings.READERS.keys() if clips else pictures.EXTENSIONS, listing)
    left_out = listing.left_out()
    about = "; ".join(filter(None, [f"{len(files):,} {things}", left_out_in_words(left_out), *listing.ways_out()]))
    if not files:
        raise ValueError(f"{str(images[0])!r} holds no {things}: {about}")
    if files != [*images]:
        say(f"{'data':<16}{about}")

    unreadable: list[str] = []
    rows = [
        _row(path, dict(zip(names, shares, strict=True)), top)
        for path, shares in _predicted(trained, files, invert, unreadable)
    ]
    if rows:
        data = {"left_out": [part.as_json() for part in left_out]}
        write_json([rows[0] | {"data": data}, *rows[1:]], json)
        plain_console().print(trained.input)
        lines = [
            entry | {"image": "" if place else row["image"]} for row in rows for place, entry in enumerate(row["top"])
        ]
        columns = {"image": "recording" if clips else "image", "class": "class", "probability": "probability"}
        show_table(lines, columns)
        say(*(f"left out: {line}" for line in unreadable))
    if unreadable and not (skip_bad_images and rows):
        among = f"{len(unreadable):,} of {len(files):,} cannot be read: " if len(files) > 1 else ""
        raise ValueError(f"{among}{shortened(unreadable)}")


def _predicted(
    trained: Trained, files: Sequence[Path], invert: bool, unreadable: list[str]
) -> Iterator[tuple[Path, list[float]]]:
    """The files that can be read and their classes' probabilities; `unreadable` gets a line for each other one."""
    preprocessing = trained.preprocessing

    def read(path: Path) -> Any:
        if isinstance(preprocessing, FramePreprocessing):
            return preprocessing.convert_named(read_as(trained.info.dataset, path, preprocessing), str(path))
        return open_picture(path, preprocessing.input_size[0], invert=invert)

    for start in range(0, len(files), TEST_BATCH):
        paths, samples = [], []
        for path in files[start : start + TEST_BATCH]:
            try:
                samples.append(read(path))
                paths.append(path)
            except BadImageError as error:
                unreadable.append(str(error))
        if samples:
            yield from zip(paths, predict(trained.model, preprocessing, samples).tolist(), strict=True)


def _find(paths: Sequence[Path], extensions: Collection[str], listing: Listing) -> list[Path]:
    """Files as they are, and those of folders, to the bottom.

    Raises:
        ValueError: for a path that does not exist, or a folder that cannot be read.
    """
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            check_files([path])
            files.append(path)
            continue
        try:
            files += list_folder(path, extensions, listing)
        except OSError as error:
            raise ValueError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    return files


def _row(path: Path, probabilities: dict[str, float], top: int) -> dict[str, Any]:
    order = sorted(probabilities, key=probabilities.__getitem__, reverse=True)
    best = [{"class": in_words(name), "probability": probabilities[name]} for name in order[:top]]
    return {"image": str(path), **best[0], "top": best, "probabilities": probabilities}


def in_words(name: str) -> str:
    """A class of ImageNet, which has a number of WordNet for a name (n01440764), in words; others as they are."""
    try:
        return _imagenet().label_name_to_description(name) if _WORDNET.fullmatch(name) else name
    except KeyError:
        return name


@cache
def _imagenet() -> ImageNetInfo:
    """timm's table of names, read once."""
    return ImageNetInfo("imagenet12k")
