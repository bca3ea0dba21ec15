"""`--help` of the commands that train."""

import re

import pytest

from trevsnn.cli.help import GROUPS
from trevsnn.training.config import SETTINGS

DEFAULT = r"(?:(?!--|╰).)*?\[default: ([^\]]*)\]"


@pytest.fixture
def shown(trevsnn, monkeypatch):
    """The help of a command line, its lines joined."""
    monkeypatch.setenv("COLUMNS", "80")

    def shown(*tokens):
        code, text, error = trevsnn(*tokens, "--help")
        assert code == 0, error
        assert max(map(len, text.splitlines())) <= 80
        return " ".join(text.replace("│", " ").split())

    return shown


def default(text, option):
    """The default of an option, None without."""
    found = re.search(f"{option} {DEFAULT}", text)
    return found and found[1]


def test_options_stand_in_groups():
    grouped = [name for names in GROUPS.values() for name in names.split()]
    assert len(set(grouped)) == len(grouped)
    assert {name.replace("_", "-") for name in SETTINGS} <= set(grouped)


def test_defaults_are_those_that_the_run_has(shown):
    digits, clips = shown("train", "digits"), shown("train", "events", "--dataset", "nmnist")
    assert (default(digits, "--epochs"), default(digits, "--lr")) == ("22", "0.01")
    assert (default(clips, "--epochs"), default(clips, "--lr")) == ("20", "0.001")
    assert default(clips, "--channels") == "16 32 64 96"
    assert default(digits, "--hflip") == "0.0"
    assert "Defaults are those of the recipe digits, which" in digits
    other = shown("train", "cifar10", "--recipe=imagenet_small")
    assert default(other, "--epochs") == "300"
    assert default(shown("train", "--dataset", "digits", "events"), "--model") == "trevsnn_dvs"
    assert default(shown("train", "digits", "--recipe", "my.toml"), "--epochs") == "the recipe's, else 100"
    anything = shown("train")
    assert default(anything, "--epochs") == "the recipe's, else 100"
    assert default(anything, "--keep-checkpoints") == "2"
    assert "Most defaults are a recipe's" in anything
    assert default(shown("ablate", "digits"), "--epochs") == "22"


@pytest.mark.parametrize(
    ("tokens", "hidden", "kept"),
    [
        (["train", "digits"], ["data", "sensor-size", "split-by", "val-split", "dataset"], ["mixup", "image-size"]),
        (["train", "--epochs", "3", "events"], ["mixup", "crop-scale", "sensor-size", "data"], ["roll", "dataset"]),
        (["train", "events", "--dataset=folder"], ["auto-augment"], ["data", "sensor-size", "cache", "val-split"]),
        (["ablate", "imagefolder"], ["split-by", "seed"], ["data", "val-split", "vary", "seeds"]),
        (["train"], [], ["data", "sensor-size", "mixup", "split-by"]),
        (["train", "nonsense"], [], ["data", "sensor-size", "mixup", "split-by"]),
    ],
    ids=str,
)
def test_what_a_kind_of_data_cannot_use_is_left_out(shown, tokens, hidden, kept):
    text = shown(*tokens)
    for name in hidden:
        assert f" --{name} " not in text
    for name in kept:
        assert f" --{name} " in text
    headings = [heading for heading in GROUPS if f"─ {heading} ─" in text]
    assert headings == list(GROUPS)
    assert "─ Parameters ─" not in text


@pytest.mark.usefixtures("few_event_digits")
def test_what_is_left_out_is_refused(trevsnn):
    for tokens, message in (
        (["digits", "--data", "."], "is not for 'digits'"),
        (["digits", "--sensor-size", "3", "4"], "sensor_size=(3, 4) is for recordings"),
        (["digits", "--val-split", "0.1"], "val_split=0.1 is not for 'digits'"),
        (["digits", "--dataset", "nmnist"], "dataset='nmnist' is for events"),
        (["events", "--mixup", "0.2"], "mixup=0.2 must be left out for recordings"),
        (["events", "--input-encoding", "grouped"], "input_encoding='grouped' is for images"),
    ):
        code, _, error = trevsnn("train", *tokens, "--dry-run")
        assert code == 2
        assert message in error
        assert error.count("\n") == 1


def test_other_commands_keep_their_help(shown):
    assert "train Train a network" in shown()
    assert "─ Parameters ─" in shown("memory")
    assert "recipe" not in shown("memory")
