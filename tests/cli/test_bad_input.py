"""Bad input gives one line on standard error and exit code 2, and leaves nothing behind."""

import json
import shutil

import pytest
import torch
from runs import poison_batch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from trevsnn.training import RunFolder


@pytest.fixture
def refused(trevsnn, tmp_path, monkeypatch):
    """Runs a command line in an empty folder and checks how it is refused."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")

    def run(tokens, message):
        code, out, error = trevsnn(*tokens)
        assert code == 2
        assert error.startswith("trevsnn: error: ")
        assert error.count("\n") == 1
        assert message in error
        assert "Traceback" not in out + error
        assert not any((tmp_path / "empty").iterdir()), "something was left behind"

    return run


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("trian digits", 'Did you mean "train"'),
        ("train", "KIND"),
        ("train digitz", "did you mean 'digits'"),
        ("train digits --model trevsnn_digit", "did you mean 'trevsnn_digits'"),
        ("train digits --memory reversable", "reversible"),
        ("train digits --input-encoding group", "grouped"),
        ("train digits --optimizer sgd", "adamw"),
        ("train digits --epoch 3", "--epochs"),
        ("train digits --epochs many", "many"),
        ("train digits --epochs 0", "epochs=0"),
        ("train digits --timesteps 1.5", "'1.5' is not an integer"),
        ("train digits --model=", "model '' is unknown"),
        ("train digits --timesteps 0", "timesteps=0"),
        ("train digits --channels 8 0 8 8", "channels=0"),
        ("train digits --channels 6 8 8 8 --input-encoding grouped", "input_encoding='grouped'"),
        ("train digits --channels 4 4 4 4 4 4 4", "shrink below one pixel"),
        ("train digits --kernel-size 4", "kernel_size=4"),
        ("train digits --drop-rate 2", "drop_rate=2"),
        ("train digits --lr -1", "lr=-1"),
        ("train digits --lr nan", "lr=nan"),
        ("train digits --seed -1", "seed=-1"),
        ("train digits --device tpu", "auto"),
        ("memory trevsnn_digitz", "did you mean 'trevsnn_digits'"),
        ("memory trevsnn_digits --batch 0", "batch=0 must be at least 1"),
        ("memory trevsnn_digits --resolution 3", "too small"),
        ("memory trevsnn_digits --resolution 0", "resolution=0"),
        ("memory trevsnn_digits --timesteps 0", "timesteps=0"),
        ("memory trevsnn_digits --precision fp8", "bf16"),
        ("memory trevsnn_digits --budget plenty", "budget='plenty' is not a number of bytes"),
        ("memory trevsnn_digits --plot nowhere/x.png", "'nowhere' does not exist"),
        ("energy trevsnn_digitz", "'trevsnn_digitz' is neither a run nor a network; did you mean 'trevsnn_digits'"),
        ("energy trevsnn_digits", "by name is untrained; give a run of it, --data DIR or --firing-rate RATE"),
        ("energy trevsnn_dvs --data .", "by name is untrained, and takes clips"),
        ("energy trevsnn_digits --firing-rate 1.5", "firing_rate=1.5 must be from 0 to 1"),
        ("energy trevsnn_digits --firing-rate high", "high"),
        ("energy trevsnn_digits --firing-rate 0.1 --data .", "firing_rate=0.1 is assumed and no image is run"),
        ("energy trevsnn_digits --firing-rate 0.1 --images 3", "firing_rate=0.1 is assumed and no image is run"),
        ("energy trevsnn_digits --data nowhere", "nowhere' does not exist"),
        ("energy trevsnn_dvs --firing-rate 0.1 --over-time", "is for clips"),
        ("energy trevsnn_digits --firing-rate 0.1 --plot nowhere/x.png", "'nowhere' does not exist"),
        ("energy trevsnn_digits --firing-rate 0.1 --plot x.png --fold", "fold=True is for the cost at one T"),
        ("energy trevsnn_digits --firing-rate 0.1 --over-time --layers", "layers=True is for the cost at one T"),
        ("energy .", "is not a run folder"),
        ("compare trevsnn_digitz", "'trevsnn_digitz' is neither a run nor a network; did you mean 'trevsnn_digits'"),
        ("compare trevsnn_digits:pact", "memory='pact'"),
        ("compare trevsnn_digits-memopt", "-memopt is for SpikingJelly's networks, ms_resnet18"),
        ("compare sdt_digits:packed", "a memory setting is not for SpikingJelly's networks; leave :packed out"),
        ("compare .", "is not a run folder"),
        ("compare trevsnn_digits --reference trevsnn_tiny", "reference='trevsnn_tiny' is none of the methods"),
        ("compare --batch 0", "batch=0 must be an integer of at least 1"),
        ("compare --timesteps 0", "timesteps=0"),
        ("compare --repeats 0", "repeats=0"),
        ("compare --timesteps 1,x", "timesteps='1,x' must be integers with commas between them, 4 or 1,2,4"),
        ("compare --resume", "resume=True goes on from a JSON file; give --json FILE"),
        ("compare trevsnn_digits:plain", ":plain is for trevsnn_tiny and trevsnn_small"),
        ("compare trev_ms_resnet34:checkpointed", ":checkpointed is for T-RevSNNs"),
        ("compare --resolution 0", "resolution=0"),
        ("compare trevsnn_digits --resolution 2", "input of 2 x 2 pixels is too small"),
        ("compare trevsnn_digits trev_ms_resnet34 --resolution 16", "use at least 32 x 32"),
        ("compare --firing-rate 2", "firing_rate=2.0 must be from 0 to 1"),
        ("compare --precision fp8", "bf16"),
        ("compare --plot nowhere/x.png", "'nowhere' does not exist"),
        ("compare --output nowhere/x.md", "'nowhere' does not exist"),
        ("train digits --json nowhere/x.json", "'nowhere' does not exist"),
        ("train digits --resume nowhere", "'nowhere' does not exist"),
        ("train digits --recipe nowhere.toml", "'nowhere.toml' cannot be read"),
        ("train digits --recipe digitz", "recipe 'digitz' is unknown; did you mean 'digits'"),
        ("train imagefolder", "needs the folder that holds it; give --data DIR"),
        ("train imagefolder --data nowhere", "nowhere' does not exist"),
        ("train digits --data .", "'digits', which comes with scikit-learn; leave it out, or give imagefolder as the"),
        ("train events --data .", "comes with scikit-learn; leave it out, or give --dataset folder"),
        (
            "train events --sensor-size 3 4",
            "in a folder of one's own, not for 'events/digits'; give --dataset folder with",
        ),
        ("train digits --sensor-size 3 4", "give --dataset folder with it (trevsnn train events), or leave it out"),
        ("train digits --val-split 0.1", "val_split=0.1 is not for 'digits'"),
        ("train cifar10 --data .", "does not hold cifar10"),
        ("train digits --dataset digits", "dataset='digits' is for events"),
        ("train events --dataset digitz", "'events/digitz' is unknown; did you mean 'events/digits'"),
        ("train digits --model trevsnn_dvs", "the network is for clips of frames, and digits data are not"),
        ("train digits --precision fp8", "bf16"),
        (
            "train digits --effective-batch 100 --batch-size 64",
            "effective_batch=100 must be a multiple of batch_size=64",
        ),
        (
            "train digits --epochs 1 --warmup-epochs 2",
            "warmup_epochs=2.0 must be at most epochs=1; give a shorter --warm",
        ),
        ("train digits --lr 1e-7 --min-lr 1e-6", "min_lr=1e-06 must be at most lr=1e-07; give a lower --min-lr"),
        ("train digits --batch-size 2000", "batch_size=2000 is more than the 1437 training images"),
        ("train digits --auto-augment nonsense", "auto_augment='nonsense' must be"),
        ("train digits --weights nowhere", "nowhere' does not exist"),
        ("train digits --dry-run --epochs 0", "epochs=0"),
        ("ablate", "KIND"),
        ("ablate digits --questions fusions", '"fusion"'),
        ("ablate digits --seed 3", "--seed is for one run; give --seeds"),
        ("ablate digits --questions fusion --seeds 0 0", "seeds=(0, 0) must be at least one seed, each once"),
        ("ablate digits --questions fusion --seeds", "seeds=() must be at least one seed"),
        ("ablate digits --seeds 0 -1 --questions fusion", "seed=-1"),
        ("ablate digits --overwrite", "--overwrite"),
        ("ablate digits --resume x", "--resume"),
        ("ablate digits --epochs 0", "epochs=0"),
        ("ablate digits --json nowhere/x.json", "'nowhere' does not exist"),
        (
            "ablate digits --vary kernel_sise=3",
            "OPTION=VALUE,VALUE,...: did you mean 'kernel_size'",
        ),
        ("ablate digits --vary kernel-size=3,4", "question kernel_size: kernel_size=4 must be odd"),
        (
            "ablate digits --vary kernel-size=1.5",
            "vary='kernel-size=1.5': Invalid value for --kernel-size",
        ),
        ("ablate digits --vary optimizer=sgd", "adamw"),
        ("ablate digits --vary epochs", "vary='epochs': Invalid value for --epochs"),
        ("ablate digits --vary seed=1,2", "give --seeds"),
        ("ablate digits --vary data=a,b", "all runs are on the same data"),
        ("ablate digits --vary channels=8,4.5", "4.5"),
        (
            "ablate digits --channels 6 8 8 8 --questions input_encoding",
            "question input_encoding: ",
        ),
        ("recipes digitz", "did you mean 'digits'"),
        ("train digits --recipe a --resume b", "leave --recipe out"),
        ("eval nowhere", "'nowhere' does not exist"),
        ("eval .", "is not a run folder"),
        ("predict nowhere x.png", "'nowhere' does not exist"),
        ("models --json nowhere/x.json", "'nowhere' does not exist"),
        ("convert nowhere.pth out.safetensors", "'nowhere.pth' does not exist"),
        ("convert nowhere.pth nowhere/out.safetensors", "'nowhere' of the destination does not exist"),
    ],
)
def test_refused(refused, command, message):
    refused(command.split(), message)


def test_cuda_without_a_gpu(refused, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused(["train", "digits", "--device", "cuda"], "device='cuda' is not available")


def test_predict_without_an_image(refused, digits_run):
    refused(["predict", digits_run], "no image")


def test_energy_of_no_image(refused, digits_run):
    refused(["energy", digits_run, "--images", "0"], "images=0 must be at least 1")


def test_shuffled_frames_of_images(refused, digits_run):
    refused(["eval", digits_run, "--shuffle-frames"], "shuffle_frames=True is for recordings")


def test_images_that_are_none(refused, digits_run, tmp_path):
    text = tmp_path / "text.png"
    text.write_text("text")
    refused(["predict", digits_run, text], "text.png' is not an image")
    refused(["predict", digits_run, tmp_path / "missing.png"], "missing.png' does not exist")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").write_text("none")
    refused(
        ["predict", digits_run, tmp_path / "notes"],
        "notes' holds no images: 0 images; left out 1: 1 of other kinds (.txt)",
    )
    refused(["predict", digits_run, text, "--top", "0"], "top=0 must be")


def test_a_grid_inside_torchrun(refused, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    refused(["ablate", "digits"], "runs in one process; start it without torchrun")


def test_taken_folder(refused, digits_run):
    refused(["train", "digits", "--output", digits_run], f"--resume {digits_run}")


def test_settings_changed_in_the_file_of_a_run(refused, digits_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(digits_run, run)
    text = (run / "config.toml").read_text()
    for old, new, message in [
        ("epochs = 1", "epochs = 2", "epochs=1, not 2"),
        ("seed = 0", "seed = 0.5", "config.toml': seed=0.5 must be an integer"),
        ("augment = true", "augment = false", "augment=True, not False"),
    ]:
        assert old in text
        (run / "config.toml").write_text(text.replace(old, new))
        refused(["train", "digits", "--resume", run], message)


def test_tampered_metadata(refused, digits_run, tmp_path):
    tensors = load_file(digits_run / "model.safetensors")
    with safe_open(digits_run / "model.safetensors", "pt") as file:
        metadata = file.metadata()
    sample = min((digits_run / "samples").iterdir())
    for changes, message in [
        ({"class_names": json.dumps(["a"] * 12)}, "12 class_names for num_classes=10"),
        ({"class_names": "[[1]]"}, "not a list of names"),
        ({"class_names": "["}, "cannot be read"),
        ({"options": "[]"}, "'model' or 'options' is missing"),
        ({"options": '{"timesteps": 0}', "class_names": "null"}, "timesteps=0"),
        ({"model": "resnet"}, "model 'resnet' is unknown"),
        ({"trevsnn_format": "9"}, "format 9"),
        ({"preprocessing": "[]"}, "has preprocessing []"),
        ({"preprocessing": "{}"}, "preprocessing {} is not one"),
    ]:
        save_file(tensors, tmp_path / "tampered.safetensors", metadata | changes)
        refused(["predict", tmp_path / "tampered.safetensors", sample], message)
    for changes, message in [
        ({"dataset": "imagenet"}, "'imagenet' is unknown"),
        (
            {"class_names": json.dumps(list("abcdefghij"))},
            "trained on: 10 (0, 1, 2 and 7 more) in place of 10 (a, b, c",
        ),
    ]:
        save_file(tensors, tmp_path / "tampered.safetensors", metadata | changes)
        refused(["eval", tmp_path / "tampered.safetensors"], message)


def test_convert_onto_its_source(refused, tmp_path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "in.pth")
    refused(["convert", tmp_path / "in.pth", tmp_path / "in.pth"], "is the source itself")


def test_output_below_a_file(refused, tmp_path):
    (tmp_path / "file").write_text("")
    refused(["train", "digits", "--output", tmp_path / "file" / "run"], "is a file, not a folder")


def test_resume_with_other_settings(refused, digits_run):
    refused(["train", "digits", "--resume", digits_run, "--epochs", "5"], "started with epochs=1, not 5; leave that")
    refused(["train", "digits", "--resume", digits_run, "--output", "x"], "leave --output")


@pytest.mark.parametrize("content", [b"", b"no checkpoint", "cut"])
def test_broken_checkpoints(refused, digits_run, tmp_path, content):
    run = tmp_path / "run"
    shutil.copytree(digits_run, run)
    state, *older = RunFolder(run).saved_states()
    for path in (state, *older, run / "model.safetensors"):
        path.write_bytes(path.read_bytes()[:2000] if content == "cut" else content)
    refused(["train", "digits", "--resume", run], state.name)
    refused(["eval", run], "model.safetensors")
    refused(["predict", run, run / "samples" / "0.png"], "model.safetensors")
    refused(["convert", state, "out.safetensors"], state.name)


def test_foreign_checkpoints(refused, tmp_path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "foreign.pth")
    refused(["convert", tmp_path / "foreign.pth", "out.safetensors"], "foreign.pth': not a state dict of the public")
    torch.save(torch.zeros(3), tmp_path / "foreign.pth")
    refused(["convert", tmp_path / "foreign.pth", "out.safetensors"], "foreign.pth' holds Tensor")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "foreign.pth")
    refused(["convert", tmp_path / "foreign.pth", "out.safetensors"], "foreign.pth': not a state dict of the public")
    torch.save({"alpha": torch.zeros(999)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    content = (tmp_path / "old.pth").read_bytes()
    for length in range(40, len(content), 40):
        (tmp_path / "cut.pth").write_bytes(content[:length])
        refused(["convert", tmp_path / "cut.pth", "out.safetensors"], "cut.pth' is cut off")


def test_configuration_files(refused, tmp_path):
    path = tmp_path / "config.toml"
    for text, message in [
        ('dataset = "imagenet"', "is for the dataset 'imagenet', not 'digits'"),
        ("epoch = 3", "did you mean 'epochs'"),
        ('epochs = "many"', "config.toml: epochs='many' must be a finite number"),
        ('lr = "0.1"\nmin_lr = 0', "config.toml: lr='0.1' must be a finite number above 0"),
        ("lr = 0", "config.toml: lr=0 must be a finite number above 0"),
        (f"lr = 1{'0' * 400}", "must be a finite number above 0"),
        ("hflip = 7", "config.toml: hflip=7 must be from 0 to 1"),
        ("crop_scale = [1.0]", "config.toml: crop_scale=(1.0,) must be two shares"),
        ("data = 5.0", "config.toml: data=5.0 must be a path in quotation marks"),
        ("dataset = 5", "config.toml': dataset=5 must be a name in quotation marks"),
        ("epochs = ", "is not a TOML file"),
    ]:
        path.write_text(text)
        refused(["train", "digits", "--recipe", path, "--epochs", 3, "--output", "run"], message)


def test_options_in_place_of_what_a_file_has_out_of_range(trevsnn, refused, tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text("hflip = 7\nlr = 1e-7\nmin_lr = 1e-4\nwarmup_lr = 0")
    refused(["train", "digits", "--recipe", path], "hflip=7")
    refused(["train", "digits", "--recipe", path, "--hflip", 0], "min_lr=0.0001 must be at most lr=1e-07")
    refused(["train", "digits", "--recipe", path, "--hflip", 0, "--lr", -1], "error: lr=-1")
    assert trevsnn("train", "digits", "--recipe", path, "--hflip", 0, "--lr", 0.1, "--dry-run")[0] == 0


def test_divergence_is_one_line(trevsnn, tmp_path, monkeypatch, quick):
    poison_batch(monkeypatch, 2)
    code, _, error = trevsnn("train", "digits", "--output", tmp_path / "run", *quick)
    assert code == 2
    assert error.count("\n") == 1
    assert "stopped at epoch 1, step 2: the loss is nan" in error
    assert trevsnn("eval", tmp_path / "run")[0] == 0
