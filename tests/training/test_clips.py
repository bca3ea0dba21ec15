"""Training on recordings of an event camera."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from helpers import digits_of
from PIL import Image
from runs import quiet_console

from trevsnn.data import FramePreprocessing, LabelledData, evaluation_batches
from trevsnn.data.events import read_recording
from trevsnn.data.events.digits import SIZE, record_digits
from trevsnn.data.events.samples import RecordedSamples
from trevsnn.models import load_weights
from trevsnn.training import Learner, RunFolder, TrainConfig, evaluate, train
from trevsnn.training.batches import training_batches

CONFIG = TrainConfig(
    epochs=2, batch_size=16, channels=(4, 8), timesteps=3, depth=3, kernel_size=3, device="cpu", lr=0.01, rotation=10.0,
    shift=0.1, shear=10.0, random_erasing=0.5, hflip=0.5, loss="tet",
)  # fmt: skip


@pytest.fixture(scope="module")
def recordings() -> LabelledData:
    """48 digits to train on and 20 to test."""
    pictures = digits_of(48, 20)
    parts = {
        name: RecordedSamples(record_digits(samples), samples.labels)
        for name, samples in (("train", pictures.train), ("test", pictures.test))
    }
    preprocessing = FramePreprocessing(input_size=(2, *SIZE), sensor_size=SIZE)
    return LabelledData(
        name="events/digits",
        class_names=pictures.class_names,
        model="trevsnn_dvs",
        preprocessing=preprocessing,
        **parts,
    )


def fingerprint(config, dataset):
    learner = Learner(config, dataset)
    batches = training_batches(learner, dataset)
    for _ in range(2):
        learner.step([next(batches)[:2]])
    return torch.cat([p.detach().flatten() for p in learner.model.parameters()])


@pytest.fixture(scope="module")
def before(recordings):
    """The weights after the first steps of CONFIG."""
    return fingerprint(CONFIG, recordings)


def test_run_is_whole_and_its_weights_know_their_input(tmp_path, recordings):
    run = RunFolder(tmp_path / "run")
    row = train(CONFIG, recordings, run, console=quiet_console())
    model, info = load_weights(run.weights)
    assert model.config.frames
    preprocessing = FramePreprocessing.from_dict(info.preprocessing)
    assert preprocessing == replace(recordings.preprocessing, timesteps=3)
    result = evaluate(model, evaluation_batches(recordings.test, preprocessing))
    assert result.accuracy == row["test_accuracy"]
    assert result.images == 20
    samples = sorted(run.samples.iterdir())
    assert [path.name for path in samples] == [f"{digit}.npz" for digit in range(8) if digit in recordings.test.labels]
    first = recordings.test.open(int(np.flatnonzero(recordings.test.labels == int(samples[0].stem))[0]), 2)
    assert all(map(np.array_equal, read_recording(samples[0]).columns(), first.columns()))
    with Image.open(run.confusion) as picture:
        assert picture.format == "PNG"


def test_interrupted_run_goes_on_exactly(tmp_path, recordings):
    whole, part = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "part")
    train(CONFIG, recordings, whole, console=quiet_console())
    train(CONFIG, recordings, part, console=quiet_console())
    part.saved_states()[0].unlink()
    train(CONFIG, recordings, part, resume=True, console=quiet_console())
    assert part.weights.read_bytes() == whole.weights.read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"stem_sharing": False},
        {"split_by": "time"},
        {"loss": "intermediate"},
        {"tet_regularisation": 0.5},
        {"timesteps": 4},
        {"image_size": 32},
        {"aux_heads": False},
        {"shear": 0.0},
        {"rotation": 0.0},
        {"shift": 0.0},
        {"zoom": 0.2},
        {"random_erasing": 0.0},
        {"hflip": 0.0},
        {"augment": False},
    ],
    ids=str,
)
def test_every_option_has_an_effect(recordings, before, change):
    after = fingerprint(replace(CONFIG, **change), recordings)
    assert before.shape != after.shape or not torch.equal(before, after)


def test_channels_last_changes_nothing_for_clips(recordings, before):
    after = fingerprint(replace(CONFIG, channels_last=True), recordings)
    torch.testing.assert_close(after, before)


def test_frames_of_a_smaller_size_hold_the_same_events(recordings):
    events = recordings.test.open(0, 2)
    whole, small = (
        replace(recordings.preprocessing, input_size=(2, *size)).transform()(events) for size in (SIZE, (17, 17))
    )
    assert torch.equal(whole.reshape(8, 2, 17, 2, 17, 2).sum((3, 5)), small)


def test_networks_and_data_that_do_not_fit_each_other(recordings, few_digits):
    with pytest.raises(
        ValueError, match="the network is for images, and events/digits data are not: choose 'trevsnn_dvs'"
    ):
        Learner(replace(CONFIG, model="trevsnn_digits"), recordings)
    with pytest.raises(ValueError, match="the network is for clips of frames, and digits data are not"):
        Learner(replace(CONFIG, model="trevsnn_dvs", shear=0.0), few_digits)
    with pytest.raises(ValueError, match="auto_augment='rand-m9' must be left out for recordings"):
        training_batches(Learner(replace(CONFIG, auto_augment="rand-m9"), recordings), recordings)


def test_preprocessing_survives_json_and_refuses_nonsense(recordings):
    values = {**asdict(recordings.preprocessing), "sensor_size": list(SIZE)}
    assert FramePreprocessing.from_dict(values) == recordings.preprocessing
    assert FramePreprocessing.from_dict({**values, "split_by": "time"}).split_by == "time"
    for bad in ({}, {**values, "timesteps": 0}, {**values, "split_by": "energy"}, {**values, "size": 3},
                {**values, "timesteps": 2**31}, {**values, "sensor_size": [2**31, 8]},
                {**values, "sensor_size": 8}):  # fmt: skip
        with pytest.raises(ValueError, match="is not one"):
            FramePreprocessing.from_dict(bad)
