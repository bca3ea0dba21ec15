from dataclasses import replace

import pytest
import torch

from trevsnn.data.variations import Variations
from trevsnn.training import Learner, TrainConfig, choose_device, dump_config, load_config
from trevsnn.training.batches import training_batches
from trevsnn.training.config import SETTINGS, parse_config

SMALL = TrainConfig(
    epochs=2,
    batch_size=16,
    channels=(4, 8),
    timesteps=2,
    depth=4,
    device="cpu",
    lr=0.02,
    min_lr=1e-5,
    ema_decay=0.9,
    clip_grad=0.2,
    weight_decay=0.2,
)

# A value for each field under which training must come out in another way than under SMALL.
OTHER = {
    "image_size": 48,
    "epochs": 3,
    "batch_size": 12,
    "effective_batch": 48,
    "precision": "bf16",
    "seed": 1,
    "model": "trevsnn_tiny",
    "timesteps": 4,
    "channels": (4, 12),
    "kernel_size": 5,
    "depth": 2,
    "two_stream": True,
    "input_encoding": "grouped",
    "fusion": False,
    "residual_scale": False,
    "learn_decay": False,
    "aux_heads": False,
    "drop_rate": 0.5,
    "drop_path_rate": 0.5,
    "threshold": 0.4,
    "window": (-0.5, 1.5),
    "loss": "tet",
    "optimizer": "lamb",
    "lr": 0.01,
    "lr_base_size": 8,
    "min_lr": 0.005,
    "warmup_epochs": 1.0,
    "weight_decay": 0.5,
    "clip_grad": 0.0,
    "ema_decay": 0.0,
    "ema_warmup": False,
    "label_smoothing": 0.0,
    "crop_scale": (0.5, 0.7),
    "hflip": 0.5,
    "rotation": 20.0,
    "shift": 0.2,
    "roll": 0.2,
    "zoom": 0.2,
    "shear": 20.0,
    "auto_augment": "rand-m9-mstd0.5-inc1",
    "color_jitter": 0.4,
    "random_erasing": 0.5,
    "mixup": 0.5,
    "cutmix": 0.5,
}
SMALL_RESNET = {"model": "trev_ms_resnet_digits", "channels": (4, 8), "blocks": (1, 1), "depth": None}
OF_OTHERS = {
    "blocks": ((1, 2), SMALL_RESNET),
    "stem_stride": (2, SMALL_RESNET),
    "embed_dims": (16, {"model": "sdt_digits", "channels": None, "depth": 1, "embed_dims": 8}),
    "warmup_lr": (1e-3, {"warmup_epochs": 1.0}),
    "train_interpolation": ("bilinear", {"crop_scale": (0.5, 0.7)}),
    "augment": (False, {"zoom": 0.2}),
    "tet_regularisation": (0.5, {"loss": "tet"}),
}
"""Fields that matter only together with others: another value, and these others."""
ELSEWHERE = {
    "block", "cache", "channels_last", "checkpoint_minutes", "compile", "data", "device", "invert_blocks",
    "keep_checkpoints", "memory", "sensor_size", "camera", "skip_bad_images", "slices", "sort_events", "split_by",
    "stem_sharing", "time_unit", "val_split", "weights", "workers",
}  # fmt: skip
"""They decide on what, from what, where and how training runs, and have tests elsewhere."""


def fingerprint(config, dataset) -> dict[str, torch.Tensor]:
    """The trained weights after an epoch."""
    learner = Learner(config, dataset)
    batches = training_batches(learner, dataset)
    for _ in range(learner.steps_per_epoch):
        learner.step(next(batches)[:2] for _ in range(learner.batches_per_step))
    return learner.trained.state_dict()


def differ(left, right):
    return left.keys() != right.keys() or any(
        value.shape != right[key].shape or not torch.equal(value, right[key]) for key, value in left.items()
    )


@pytest.fixture(scope="module")
def reference(few_digits):
    return fingerprint(SMALL, few_digits)


def test_every_field_is_listed():
    assert set(SETTINGS) == OTHER.keys() | OF_OTHERS.keys() | ELSEWHERE


@pytest.mark.parametrize("name", OTHER)
def test_every_field_has_an_effect(name, few_digits, reference):
    assert differ(fingerprint(replace(SMALL, **{name: OTHER[name]}), few_digits), reference)


@pytest.mark.parametrize("name", OF_OTHERS)
def test_fields_with_an_effect_together_with_others(name, few_digits):
    value, others = OF_OTHERS[name]
    base = replace(SMALL, **others)
    assert differ(fingerprint(replace(base, **{name: value}), few_digits), fingerprint(base, few_digits))


def test_same_settings_come_out_the_same(few_digits, reference):
    again = fingerprint(SMALL, few_digits)
    assert all(torch.equal(value, reference[key]) for key, value in again.items())


def test_memory_reaches_the_network(few_digits):
    for memory in ("stored", "reversible"):
        assert Learner(replace(SMALL, memory=memory), few_digits).model.config.memory == memory


def test_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match="device='cuda' is not available"):
        choose_device("cuda")
    with pytest.raises(ValueError, match="device='tpu' must be one of"):
        choose_device("tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda")


@pytest.mark.parametrize("config", [TrainConfig(), replace(SMALL, aux_heads=False, memory="stored", lr=1e-4, data="x")])
def test_file_gives_the_same_configuration(tmp_path, config):
    path = tmp_path / "config.toml"
    path.write_text(dump_config("digits", config))
    dataset, values = load_config(path)
    assert dataset == "digits"
    assert TrainConfig(**values) == config


@pytest.mark.parametrize(
    "bad",
    [
        {"epochs": 0},
        {"epochs": 1.5},
        {"batch_size": 0},
        {"batch_size": True},
        {"seed": -1},
        {"lr": 0},
        {"lr": float("nan")},
        {"lr": "fast"},
        {"min_lr": 1.0},
        {"warmup_epochs": 1000},
        {"warmup_epochs": -1},
        {"weight_decay": -0.1},
        {"clip_grad": float("inf")},
        {"ema_decay": 1.0},
        {"label_smoothing": 1.0},
        {"optimizer": "sgd"},
        {"device": "tpu"},
        {"augment": "yes"},
        {"effective_batch": 0},
        {"workers": -1},
        {"image_size": 1.5},
        {"lr_base_size": 0},
        {"warmup_lr": 1.0},
        {"precision": "fp8"},
        {"checkpoint_minutes": -1},
        {"keep_checkpoints": 0},
        {"compile": "yes"},
        {"skip_bad_images": 1},
        {"channels_last": None},
        {"loss": "mse"},
        {"tet_regularisation": 2},
        {"split_by": "energy"},
    ],
    ids=str,
)
def test_bad_value_is_named(bad):
    (name, value) = next(iter(bad.items()))
    with pytest.raises(ValueError, match=f"^{name}=") as error:
        TrainConfig(**bad)
    assert repr(value) in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = ", "is not a TOML file"),
        ("epoch = 3", "unknown field 'epoch' in line 1; did you mean 'epochs'"),
        (
            "# made by hand\nepochs = 3\n\nlr_decay = 0.1",
            "'lr_decay' in line 4; .*, or remove it where another version",
        ),
        ("[optimiser]\nname = 'sgd'", "unknown table 'optimiser' in line 1; choose from data, model, augmentation, or"),
        ("data = 'x'\n[data]\nimage_size = 3", "is not a TOML file: .* line 2.*; a name stands there twice"),
    ],
)
def test_bad_file_is_named(tmp_path, text, message):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        load_config(path)
    assert "bad.toml" in str(error.value)


OLD = """\
dataset = "digits"
data = "/pictures"
epochs = 3
model = "trevsnn_digits"
channels = [4, 8]
fusion = false
image_size = 48
crop_scale = [0.5, 1.0]
hflip = 0.5
"""
NEW = """\
dataset = "digits"
epochs = 3

[data]
folder = "/pictures"
image_size = 48

[model]
name = "trevsnn_digits"
channels = [4, 8]
fusion = false

[augmentation]
crop_scale = [0.5, 1.0]
hflip = 0.5
"""


def test_a_file_without_tables_says_the_same():
    old, new = (parse_config(text, "file") for text in (OLD, NEW))
    assert old == new
    assert TrainConfig(**old[1]) == TrainConfig(
        data="/pictures",
        epochs=3,
        model="trevsnn_digits",
        model_options={"channels": (4, 8), "fusion": False},
        image_size=48,
        augmentation=Variations(crop_scale=(0.5, 1.0), hflip=0.5),
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("hflip", "hflop"), "unknown field 'hflop' in line 15; did you mean 'hflip'"),
        (("fusion", "lr"), r"unknown field 'lr' in line 11; it belongs above all tables"),
        (("fusion", "zoom"), r"unknown field 'zoom' in line 11; it belongs into \[augmentation\]"),
        (("epochs = 3", "hflip = 0.1"), "has hflip twice"),
        (("epochs = 3", "folder = 'x'"), "unknown field 'folder' in line 2"),
    ],
    ids=str,
)
def test_bad_key_in_a_table_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        parse_config(NEW.replace(*change), "file")


def test_settings_by_their_own_names():
    config = TrainConfig(hflip=0.5, timesteps=2)
    assert replace(config, timesteps=None, zoom=0.1) == TrainConfig(hflip=0.5, zoom=0.1)
    assert config.changed(timesteps=3).by_name() == {**config.by_name(), "timesteps": 3}
    with pytest.raises(ValueError, match="'kernel' is not an option of a network; did you mean 'kernel_size'"):
        TrainConfig(model_options={"kernel": 3})
    with pytest.raises(ValueError, match=r"channels=\(4, 'x'\) must be integers"):
        TrainConfig(channels=[4, "x"])


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"missing\.toml' cannot be read"):
        load_config(tmp_path / "missing.toml")


def test_paths_do_not_depend_on_the_folder_that_a_run_is_continued_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert TrainConfig(data="pictures").data == tmp_path / "pictures"


def test_fields_of_another_version_do_not_matter_to_what_reads_weights(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("epochs = 3\nof_tomorrow = 1\n")
    assert load_config(path, unknown_ok=True) == (None, {"epochs": 3})


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_a_file_of_any_system(tmp_path, encoding):
    path = tmp_path / "config.toml"
    path.write_bytes("# größer\r\nepochs = 3\r\n".encode(encoding))
    assert load_config(path) == (None, {"epochs": 3})
    path.write_bytes("# größer\r\nepochs = \r\n".encode(encoding))
    with pytest.raises(ValueError, match=r"is not a TOML file: .*line 2"):
        load_config(path)


def test_every_choice_can_be_made():
    for name, choices in {
        "optimizer": ("adamw", "lamb"),
        "device": ("auto", "cpu", "cuda"),
        "precision": ("fp32", "bf16", "fp16"),
        "loss": ("intermediate", "tet"),
        "split_by": ("number", "time"),
    }.items():
        assert [getattr(TrainConfig(**{name: choice}), name) for choice in choices] == list(choices)
