"""CIFAR as its authors pack it, a few made-up images of it."""

import hashlib
import pickle

import numpy as np
import pytest
from torchvision.datasets import CIFAR10, CIFAR100

from trevsnn import list_models
from trevsnn.data import load_dataset


@pytest.mark.parametrize(("name", "reader"), [("cifar10", CIFAR10), ("cifar100", CIFAR100)])
def test_files_of_the_authors_are_read(tmp_path, monkeypatch, name, reader):
    folder = tmp_path / reader.base_folder
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (4, 3072), np.uint8)
    key = "labels" if name == "cifar10" else "fine_labels"
    sums = {}
    for file, _ in [*reader.train_list, *reader.test_list]:
        (folder / file).write_bytes(pickle.dumps({"data": pixels, key: [0, 1, 2, 9]}))
    names = {reader.meta["key"]: [f"class {i}" for i in range(10)]}
    (folder / reader.meta["filename"]).write_bytes(pickle.dumps(names))
    for file in folder.iterdir():
        sums[file.name] = hashlib.md5(file.read_bytes()).hexdigest()
    for attribute in ("train_list", "test_list"):
        monkeypatch.setattr(reader, attribute, [[file, sums[file]] for file, _ in getattr(reader, attribute)])
    monkeypatch.setattr(reader, "meta", reader.meta | {"md5": sums[reader.meta["filename"]]})
    dataset = load_dataset(name, tmp_path)
    assert len(dataset.train) == 4 * len(reader.train_list)
    assert len(dataset.test) == 4
    assert dataset.class_names[9] == "class 9"
    assert dataset.test.labels.tolist() == [0, 1, 2, 9]
    picture = np.array(dataset.test.open(1, 3))
    assert np.array_equal(picture.transpose(2, 0, 1).ravel(), pixels[1])
    assert dataset.model in list_models()
    assert dataset.preprocessing.input_size == (3, 32, 32)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"does not hold cifar10, .* so that it has a folder 'cifar-10-batches-py'"):
        load_dataset("cifar10", tmp_path)
