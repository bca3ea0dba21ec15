import multiprocessing
from itertools import chain

import numpy as np
import pytest
import torch
from PIL import Image

from trevsnn.data import (
    Augmentation,
    BadImageError,
    BadImages,
    PixelSamples,
    Preprocessing,
    TrainingStream,
    evaluation_batches,
    load_dataset,
)
from trevsnn.data.loading import MOST_BAD, default_workers, epoch_order
from trevsnn.data.seeding import random_state, seed_of

GREY = Preprocessing(input_size=(1, 8, 8))
VARIED = Augmentation(rotation=20.0, shift=0.1, zoom=0.1, hflip=0.5, random_erasing=0.5)
PLAIN = Augmentation()


class Damaged(PixelSamples):
    """Digits of which some cannot be opened."""

    bad = (3, 4)

    def open(self, index, channels):
        if index in self.bad:
            raise BadImageError(f"image {index}: cannot\nbe read")
        return super().open(index, channels)


class Elsewhere(PixelSamples):
    """Digits that the main process cannot open."""

    def open(self, index, channels):
        if multiprocessing.parent_process() is None:
            raise BadImageError(f"image {index} is opened in the main process")
        return super().open(index, channels)


@pytest.fixture(scope="module")
def samples():
    train = load_dataset("digits").train
    return PixelSamples(train.pixels[:50], train.labels[:50])


def make(samples, augmentation=VARIED, *, batch_size=10, batches_per_epoch=5, seed=0, **options):
    return TrainingStream(
        samples,
        GREY,
        augmentation,
        10,
        batch_size=batch_size,
        batches_per_epoch=batches_per_epoch,
        seed=seed,
        **options,
    )


def equal(left, right):
    left, right = list(left), list(right)
    return len(left) == len(right) and all(
        torch.equal(a.images, b.images) and torch.equal(a.targets, b.targets) for a, b in zip(left, right, strict=True)
    )


def test_batches_follow_from_the_seed_and_their_number(samples):
    whole = list(make(samples).batches(0, 15))
    assert equal(whole, make(samples).batches(0, 15))
    assert equal(whole[7:], make(samples).batches(7, 15))
    assert not equal(whole, make(samples, seed=1).batches(0, 15))
    assert not torch.equal(whole[0].images, whole[5].images), "another epoch, another order"


@pytest.mark.slow
def test_workers_make_the_same_batches(samples):
    mixed = Augmentation(rotation=20.0, auto_augment="rand-m9-mstd0.5-inc1", cutmix=1.0)
    assert equal(make(samples, mixed).batches(0, 10), make(samples, mixed, workers=2).batches(0, 10))


def test_processes_share_the_batches_of_one(samples):
    whole = list(make(samples).batches(0, 10))
    for rank in range(2):
        assert equal(whole[rank::2], make(samples, rank=rank, world=2).batches(0, 10))
    assert equal(whole[7::2], make(samples, rank=1, world=2).batches(6, 10))


def test_augmentation_does_not_depend_on_the_batch_size(samples):
    large = torch.cat([batch.images for batch in make(samples).batches(0, 5)])
    small = torch.cat([batch.images for batch in make(samples, batch_size=5, batches_per_epoch=10).batches(0, 10)])
    assert torch.equal(large, small)


def test_an_epoch_visits_every_image_once_and_labels_belong_to_their_images(samples):
    everything = torch.cat([batch.images for batch in evaluation_batches(samples, GREY)])
    found = []
    for images, targets, _ in make(samples, PLAIN).batches(5, 10):
        for image, label in zip(images, targets, strict=True):
            index = int((everything == image).flatten(1).all(1).nonzero()[0, 0])
            assert samples.labels[index] == label
            found.append(index)
    assert sorted(found) == list(range(50))


def test_batches_leave_the_random_state_alone(samples):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    list(make(samples).batches(0, 2))
    assert torch.equal(torch.rand(3), expected)


def test_shards_are_read_group_by_group():
    order = epoch_order([10, 20, 5], seed=0, epoch=1)
    assert sorted(order) == list(range(35))
    many = epoch_order([1000] * 40, seed=0, epoch=1)
    assert sorted(many) == list(range(40_000))
    first = set((many[: 2**14] // 1000).tolist())
    assert len(first) <= 17, "images of a few shards at a time"
    assert not np.array_equal(many, epoch_order([1000] * 40, seed=0, epoch=2))


def test_evaluation_batches_are_shared_out(samples):
    test = load_dataset("digits").test
    shares = [evaluation_batches(test, GREY, rank=rank, world=2) for rank in range(2)]
    labels = [torch.cat([batch.targets for batch in share]) for share in shares]
    assert sum(map(len, labels)) == 360
    assert torch.equal(labels[0][:64], torch.from_numpy(test.labels[:64]))
    assert torch.equal(labels[1][:64], torch.from_numpy(test.labels[64:128]))


def test_bad_images_are_replaced_in_training_and_left_out_in_testing(samples):
    damaged = Damaged(samples.pixels, samples.labels)
    batches = list(make(damaged, PLAIN, skip_bad=True).batches(0, 5))
    assert [len(batch.images) for batch in batches] == [10] * 5
    messages = {message for batch in batches for message in batch.bad}
    assert messages == {"image 3: cannot\nbe read", "image 4: cannot\nbe read"}
    assert sum(len(batch.images) for batch in evaluation_batches(damaged, GREY)) == 48


def test_bad_images_stop_or_are_listed_once(tmp_path):
    with pytest.raises(BadImageError, match=r"image 3.*repair it, or .*--skip-bad-images"):
        BadImages().report(["image 3 is bad", "image 4 is bad"])
    BadImages().report([])
    file = tmp_path / "bad_images.txt"
    bad, others = BadImages(True, file), BadImages(True, file)
    bad.report(["image 3:\n bad", "image 4: bad"])
    bad.report(["image 3: bad"])
    others.report(["image 4: bad", "image 5: bad"])
    assert file.read_text() == "image 3: bad\nimage 4: bad\nimage 5: bad\n"
    assert bad.count() == others.count() == 3
    for count in (MOST_BAD, 150):
        with pytest.raises(BadImageError, match=f"{count} images in one batch cannot be read, the first: image 0"):
            bad.report([f"image {i}" for i in range(count)])
    bad.report([f"image {i}" for i in range(MOST_BAD - 1)])
    assert bad.count() == 3 + MOST_BAD - 1


@pytest.mark.parametrize(("skip_bad", "tried"), [(True, MOST_BAD), (False, 1)])
def test_nothing_but_bad_images(samples, skip_bad, tried):
    damaged = Damaged(samples.pixels[:20], samples.labels[:20])
    damaged.__class__ = type("AllBad", (Damaged,), {"bad": range(20)})
    (batch,) = make(damaged, batch_size=20, batches_per_epoch=1, skip_bad=skip_bad).batches(0, 1)
    assert len(batch.bad) == tried


def test_random_state_gives_the_numbers_of_a_key():
    def draw(*key):
        with random_state(0, *key):
            return torch.rand(1).item(), np.random.rand()  # noqa: NPY002

    assert draw(1, 2) == draw(1, 2)
    assert len({draw(1, 2), draw(1, 3), draw(2, 2)}) == 3


def test_seeds_of_different_keys_differ():
    keys = chain([(0,), (1,)], [(0, epoch) for epoch in range(5)], [(0, 1, 1)])
    assert len({seed_of(*key) for key in keys}) == 8


def test_workers_by_default(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(12)), raising=False)
    assert default_workers(in_memory=True) == 0
    assert default_workers(in_memory=False) == 8
    assert default_workers(in_memory=False, local_processes=4) == 3
    assert default_workers(in_memory=False, local_processes=24) == 1


def test_a_colour_network_gets_three_channels():
    picture = Image.fromarray(np.zeros((8, 8), np.uint8))
    assert PixelSamples(np.array(picture)[None], np.zeros(1, int)).open(0, 3).mode == "RGB"


def test_images_are_opened_in_workers(samples):
    elsewhere = Elsewhere(samples.pixels, samples.labels)
    assert equal(evaluation_batches(elsewhere, GREY, workers=1), evaluation_batches(samples, GREY))
    (batch,) = evaluation_batches(elsewhere, GREY)
    assert len(batch.bad) == len(samples), "without workers it is the main process that opens them"
