"""The public data sets, laid out as in their archives, with a few short recordings."""

import numpy as np
import pytest
from recordings import HEADER_2, HEADER_3, event_2, event_3, event_atis, packet_3

from trevsnn.data import BadImageError, describe_data, load_dataset
from trevsnn.data.events.cifar10dvs import OBJECTS
from trevsnn.data.events.dvs128gesture import GESTURES
from trevsnn.data.registry import read_as


def columns(events):
    return [column.tolist() for column in events.columns()]


@pytest.fixture
def cifar10dvs(tmp_path):
    for name in OBJECTS:
        (tmp_path / name).mkdir()
        for number in range(4):
            events = [event_2(number, 5, True, 10), event_2(100, 126, False, 20)]
            (tmp_path / name / f"cifar10_{name}_{number}.aedat").write_bytes(HEADER_2 + b"".join(events))
    return tmp_path


def write_gestures(root, user, spans, last=1_000_000):
    events = [event_3(t // 10_000, 3, t // 10_000 % 2, t) for t in range(0, last, 10_000)]
    (root / f"{user}.aedat").write_bytes(HEADER_3 + packet_3(events))
    rows = ["class,startTime_usec,endTime_usec", *(",".join(map(str, span)) for span in spans)]
    (root / f"{user}_labels.csv").write_text("\n".join(rows) + "\n")


@pytest.fixture
def gestures(tmp_path):
    write_gestures(tmp_path, "user01_led", [(1, 0, 300_000), (11, 300_000, 600_000), (2, 600_000, 1_000_000)])
    write_gestures(tmp_path, "user02_lab", [(3, 5_000, 500_000)])
    write_gestures(tmp_path, "user29_led", [(11, 100_000, 200_000)])
    (tmp_path / "trials_to_train.txt").write_text("user01_led.aedat\nuser02_lab.aedat\n")
    (tmp_path / "trials_to_test.txt").write_text("user29_led.aedat\n")
    return tmp_path


def test_cifar10dvs(cifar10dvs):
    data = load_dataset("events/cifar10dvs", cifar10dvs, 0.25)
    assert data.class_names == OBJECTS
    assert (len(data.train), len(data.test)) == (30, 10)
    assert data.split == "0.25 of each class, drawn with seed 0"
    assert data.preprocessing.sensor_size == (128, 128)
    again = load_dataset("events/cifar10dvs", cifar10dvs, 0.25)
    names = [{samples.source(i).name for i in range(len(samples))} for samples in (data.train, data.test, again.test)]
    assert names[1] == names[2]
    assert not names[0] & names[1]
    assert len(names[0] | names[1]) == 40


def test_cifar10dvs_is_set_upright(cifar10dvs):
    """x = 127 - y and y = 127 - x of the sensor's, as the authors' own reader has it."""
    data = load_dataset("events/cifar10dvs", cifar10dvs)
    assert data.train is None
    expected = [[10, 20], [122, 1], [127 - 3, 27], [1, 0]]
    assert columns(data.test.open(3, 2)) == expected
    path = cifar10dvs / "airplane" / "cifar10_airplane_3.aedat"
    assert columns(read_as("events/cifar10dvs", path)) == expected
    assert columns(read_as("events/folder", path))[1] == [3, 100]


def test_cifar10dvs_has_its_classes(cifar10dvs):
    for name in ("airplane", "dog"):
        (cifar10dvs / name).rename(cifar10dvs / f"{name}s")
    with pytest.raises(ValueError, match="not those of CIFAR10-DVS: unpack its ten archives there"):
        load_dataset("events/cifar10dvs", cifar10dvs, 0.25)


def test_gestures(gestures):
    data = load_dataset("events/dvs128gesture", gestures)
    assert data.class_names == GESTURES
    assert data.train.labels.tolist() == [0, 10, 1, 2]
    assert data.test.labels.tolist() == [10]
    assert data.train.group_sizes() == [3, 1]
    assert data.split == ""
    assert data.train.open(1, 2).t.tolist() == list(range(300_000, 600_000, 10_000))
    assert data.train.open(3, 2).t.tolist() == list(range(10_000, 500_000, 10_000))
    assert columns(data.test.open(0, 2))[1:3] == [list(range(10, 20)), [3] * 10]
    assert [data.train.source(i).name for i in (0, 3)] == ["user01_led/0-300000", "user02_lab/5000-500000"]


def test_a_label_past_the_end_is_named(gestures):
    write_gestures(gestures, "user29_led", [(1, 0, 500_000), (2, 500_000, 1_000_000)], last=800_000)
    test = load_dataset("events/dvs128gesture", gestures).test
    assert len(test.open(0, 2)) == 50
    with pytest.raises(
        BadImageError, match=r"user29_led_labels\.csv' has a label that ends at 1000000 .* past the end .* at 790000"
    ):
        test.open(1, 2)


def test_a_recording_that_is_cut_off_has_the_trials_before(gestures):
    write_gestures(gestures, "user29_led", [(1, 0, 500_000), (2, 500_000, 1_000_000)])
    path = gestures / "user29_led.aedat"
    path.write_bytes(path.read_bytes()[:-40])
    test = load_dataset("events/dvs128gesture", gestures).test
    assert len(test.open(0, 2)) == 50
    with pytest.raises(
        BadImageError, match=r"user29_led\.aedat' is cut off at 940000 microseconds, within a trial to 1000000"
    ):
        test.open(1, 2)


def test_labels_that_cannot_be(gestures):
    for rows, message in (
        ([(12, 0, 100)], "have class 12 from 0 to 100"),
        ([(1, 100, 100)], "have class 1 from 100 to 100"),
        ([(1, 100)], "cannot be read as rows of class,startTime_usec,endTime_usec"),
        ([("one", 0, 1)], "cannot be read"),
        ([], "have no rows"),
    ):
        write_gestures(gestures, "user29_led", rows)
        with pytest.raises(ValueError, match=message) as error:
            load_dataset("events/dvs128gesture", gestures)
        assert "user29_led_labels.csv" in str(error.value)


def test_gestures_that_are_not_all_there(gestures):
    (gestures / "user02_lab.aedat").unlink()
    with pytest.raises(ValueError, match=r"trials_to_train\.txt lists user02_lab\.aedat, which .* does not hold"):
        load_dataset("events/dvs128gesture", gestures)
    (gestures / "trials_to_train.txt").unlink()
    with pytest.raises(ValueError, match=r"has no trials_to_train\.txt"):
        load_dataset("events/dvs128gesture", gestures)


def test_what_is_left_out_of_gestures(gestures):
    (gestures / "user03_led.aedat").touch()
    (gestures / "README.txt").touch()
    (gestures / "trials_to_train.txt").write_bytes("user01_led.aedat\r\nuser02_lab.aedat\r\n\r\n".encode("utf-16"))
    line = describe_data(load_dataset("events/dvs128gesture", gestures))
    assert line == (
        "events/dvs128gesture: 4 to train on, 1 to test on, 11 classes; left out 2: 1 in no list (user03_led.aedat), "
        "1 of other kinds (.txt); nothing to train on in 7 classes (right_arm_clockwise, "
        "right_arm_counter_clockwise, left_arm_clockwise and 4 more); nothing to test on in 10 classes "
        "(hand_clapping, right_hand_wave, left_hand_wave and 7 more)"
    )
    for lines, message in (
        ("user01_led.aedat\nuser01_led.aedat", r"lists 'user01_led\.aedat' 2 times; remove the line"),
        ("user01_led.aedat\nuser02_lab.raw", r"lists 'user02_lab\.raw', which is not an \.aedat file"),
        ("user29_led.aedat", r"user29_led\.aedat is listed both to train and to test on"),
    ):
        (gestures / "trials_to_train.txt").write_text(lines)
        with pytest.raises(ValueError, match=message):
            load_dataset("events/dvs128gesture", gestures)


def test_data_sets_as_spikingjelly_lays_them_out(cifar10dvs, tmp_path_factory):
    root = tmp_path_factory.mktemp("spikingjelly")
    for name in ("download", "frames_number_16_split_by_number"):
        (root / name).mkdir()
    message = r"holds download, frames_number_.*, as SpikingJelly lays data out, but not extract: give the folder"
    with pytest.raises(ValueError, match=message):
        load_dataset("events/cifar10dvs", root, 0.25)
    (root / "extract").symlink_to(cifar10dvs)
    data = load_dataset("events/cifar10dvs", root, 0.25)
    assert (len(data.train), data.inventory.folder) == (30, root / "extract")


def test_nmnist(tmp_path):
    for split, count in (("Train", 2), ("Test", 1)):
        for digit in range(10):
            folder = tmp_path / split / str(digit)
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number:05d}.bin").write_bytes(event_atis(digit, 33, 1, 10) + event_atis(1, 2, 0, 20))
    data = load_dataset("events/nmnist", tmp_path)
    assert data.train.labels.tolist() == sorted([*range(10), *range(10)])
    assert data.test.labels.tolist() == list(range(10))
    assert columns(data.test.open(7, 2)) == [[10, 20], [7, 1], [33, 2], [1, 0]]
    assert data.train.source(0).name != data.test.source(0).name
    (tmp_path / "Train" / "9").rename(tmp_path / "Train" / "nine")
    with pytest.raises(ValueError, match="not the digits' folders 0 to 9"):
        load_dataset("events/nmnist", tmp_path)
    with pytest.raises(ValueError, match="has no folder 'Train'"):
        load_dataset("events/nmnist", tmp_path / "Train")


def test_folder_of_recordings(tmp_path):
    for split, count in (("train", 3), ("val", 1)):
        for name in ("fast", "slow"):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                np.savez(folder / f"{number}.npz", t=[1, 2], x=[number, 199], y=[3, 4], p=[0, 1])
    data = load_dataset("events/folder", tmp_path, sensor_size=(180, 240))
    assert data.class_names == ("fast", "slow")
    assert (len(data.train), len(data.test)) == (6, 2)
    assert data.preprocessing.input_size == (2, 128, 128)
    assert data.preprocessing.sensor_size == (180, 240)
    assert load_dataset("events/folder", tmp_path, sensor_size=(60, 80)).preprocessing.input_size == (2, 60, 80)
    with pytest.raises(ValueError, match="needs the height and width of the sensor: --sensor-size 128 128"):
        load_dataset("events/folder", tmp_path)
    with pytest.raises(ValueError, match=r"sensor_size=\(3, 4\) is for recordings in a folder"):
        load_dataset("events/nmnist", tmp_path, sensor_size=(3, 4))


def test_what_is_no_recording_ends_nothing_before_it_is_read(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(2):
            np.savez(tmp_path / name / f"{i}.npz", t=range(9), x=[0] * 9, y=[0] * 9, p=[1] * 9)
    (tmp_path / "b" / "2.npz").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    data = load_dataset("events/folder", tmp_path, sensor_size=(4, 4))
    assert [len(data.test.open(i, 2)) for i in range(4)] == [9] * 4
    with pytest.raises(BadImageError, match=r"2\.npz' is a pointer of Git LFS, not the file itself"):
        data.test.open(4, 2)
