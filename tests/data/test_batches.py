from itertools import chain

import pytest
import torch

from trevsnn.data import load_dataset, random_affine, seeded_generator, training_batches


def images_of(batches):
    return torch.cat([images for images, _ in batches])


@pytest.fixture(scope="module")
def dataset():
    return load_dataset("digits")


def test_batches_follow_from_seed_and_epoch(dataset):
    first = images_of(training_batches(dataset, 100, seed=3, epoch=2))
    assert torch.equal(first, images_of(training_batches(dataset, 100, seed=3, epoch=2)))
    assert not torch.equal(first, images_of(training_batches(dataset, 100, seed=4, epoch=2)))
    assert not torch.equal(first, images_of(training_batches(dataset, 100, seed=3, epoch=3)))


def test_augmentation_does_not_depend_on_the_batch_size(dataset):
    large = images_of(training_batches(dataset, 100, seed=0, epoch=1))
    small = images_of(training_batches(dataset, 50, seed=0, epoch=1))
    torch.testing.assert_close(large, small[: len(large)])


def test_an_epoch_visits_every_image_once(dataset):
    labels = torch.cat([labels for _, labels in training_batches(dataset, 1437, seed=0, epoch=1, augment=False)])
    assert torch.equal(labels.bincount(), dataset.train.labels.bincount())
    sizes = [len(labels) for _, labels in training_batches(dataset, 100, seed=0, epoch=1)]
    assert sizes == [100] * 14
    sizes = [len(labels) for _, labels in training_batches(dataset, 5000, seed=0, epoch=1)]
    assert sizes == [1437]


def test_labels_belong_to_their_images(dataset):
    images, labels = next(iter(training_batches(dataset, 20, seed=0, epoch=1, augment=False)))
    everything = dataset.prepare(dataset.train.pixels)
    for image, label in zip(images, labels, strict=True):
        index = (everything == image).flatten(1).all(1).nonzero()[0, 0]
        assert dataset.train.labels[index] == label


def test_affine_map_with_zero_draws_is_the_identity():
    images = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(random_affine(images, torch.zeros(2, 4)), images)


def test_affine_map_shifts_by_a_share_of_the_side():
    images, draws = torch.rand(1, 1, 8, 8), torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    moved = random_affine(images, draws, shift=0.25)
    torch.testing.assert_close(moved[..., :6], images[..., 2:])


def test_affine_map_rotates_and_scales():
    images = torch.rand(1, 1, 8, 8)
    turned = random_affine(images, torch.tensor([[1.0, 0.0, 0.0, 0.0]]), rotation=90)
    torch.testing.assert_close(turned, images.rot90(1, (2, 3)), rtol=0, atol=1e-4)
    scaled = random_affine(images, torch.tensor([[0.0, 0.0, 0.0, 1.0]]), scale=0.5)
    assert not torch.allclose(scaled, images)


def test_generators_of_different_keys_differ():
    keys = chain([(0,), (1,)], [(0, epoch) for epoch in range(5)], [(0, 1, 1)])
    assert len({seeded_generator(*key).initial_seed() for key in keys}) == 8
