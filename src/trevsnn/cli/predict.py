"""`trevsnn predict`."""

import re
from functools import cache
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from timm.data import ImageNetInfo

from trevsnn.cli.output import JsonFile, check_json, show_table, write_json
from trevsnn.cli.weights import load_trained
from trevsnn.data import FramePreprocessing, check_files, open_picture
from trevsnn.data.events.datasets import read_as
from trevsnn.training import choose_device, predict
from trevsnn.training.config import Device

_WORDNET = re.compile(r"n\d{8}")


def predict_images(
    run: Path,
    /,
    *images: Path,
    invert: Annotated[bool, Parameter(negative=())] = False,
    device: Device = "auto",
    json: JsonFile = None,
) -> None:
    """Print the class and its probability for each image or recording.

    Args:
        run: Run folder, or a weights file from one, its best.safetensors for example.
        images: Image files of any size and mode; for a run on events, recordings of its sensor.
        invert: Swap dark and light first: for dark ink on white paper.
        device: Where to compute; auto takes CUDA where there is a GPU.
        json: Also write the table, with the probability of every class, to this file.
    """
    if not images:
        raise ValueError("no image to predict; give at least one image file after the run")
    check_json(json)
    trained = load_trained(run, choose_device(device))
    names = trained.info.class_names or tuple(map(str, range(trained.model.num_classes)))
    check_files(images)
    if isinstance(trained.preprocessing, FramePreprocessing):
        if invert:
            raise ValueError("invert=True is for images; leave --invert out for recordings")
        convert = trained.preprocessing.convert_named
        reading = trained.preprocessing
        samples = [convert(read_as(trained.info.dataset, image, reading), str(image)) for image in images]
    else:
        samples = [open_picture(image, trained.preprocessing.input_size[0], invert=invert) for image in images]
    rows = []
    for image, probabilities in zip(
        images, predict(trained.model, trained.preprocessing, samples).tolist(), strict=True
    ):
        best = max(range(len(names)), key=probabilities.__getitem__)
        rows.append(
            {
                "image": str(image),
                "class": in_words(names[best]),
                "probability": probabilities[best],
                "probabilities": dict(zip(names, probabilities, strict=True)),
            }
        )
    write_json(rows, json)
    show_table(rows, {"image": "image", "class": "class", "probability": "probability"})


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
