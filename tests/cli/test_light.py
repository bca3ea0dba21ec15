"""Help, the version and mistakes of spelling are answered without PyTorch, which would take seconds."""

import inspect
import subprocess
import sys

import pytest
import torch

from trevsnn import __version__, choices
from trevsnn.cli.app import app
from trevsnn.cli.commands.light import worker_of
from trevsnn.cli.commands.models import recorded_networks
from trevsnn.data import list_datasets
from trevsnn.models import count_macs, create_model, list_models, option_names, parameter_counts
from trevsnn.training.config import NETWORK_OPTIONS

COMMANDS = [name for name in app if not name.startswith("-")]
HEAVY = {"matplotlib", "numpy", "PIL", "scipy", "sklearn", "timm", "torch", "torchvision"}


CALLS = [
    (["--help"], 0),
    (["--version"], 0),
    *([[command, "--help"], 0] for command in COMMANDS),
    (["train", "digits", "--help"], 0),
    (["models"], 0),
    (["recipes"], 0),
    (["evel"], 2),
    (["eval", "run", "--wrokers", "2"], 2),
    (["train", "digits", "--epochs", "3", "--epcohs", "3"], 2),
    (["train", "digits", "--epochs", "1.5"], 2),
    (["train"], 2),
]
ONE_AFTER_THE_OTHER = f"""
import sys
sys.argv[0] = "/usr/bin/trevsnn"
from trevsnn.cli import main
for tokens, code in {CALLS!r}:
    assert main(tokens) == code, tokens
    assert not {HEAVY!r} & {{*sys.modules}}, tokens
assert "cyclopts" in sys.modules
"""


def test_no_pytorch_is_imported(tmp_path):
    command = [sys.executable, "-c", ONE_AFTER_THE_OTHER]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-500:]


def test_the_module_is_light(tmp_path):
    command = [sys.executable, "-X", "importtime", "-m", "trevsnn", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time")}
    assert "cyclopts" in imported
    assert not imported & HEAVY


def test_the_script_is_light_too(tmp_path):
    script = tmp_path / "trevsnn"
    script.write_text("import sys\nfrom trevsnn.cli import main\nmain(['--version'])\nprint('torch' in sys.modules)")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines() == [__version__, "False"]


def test_choices_are_those_that_there_are():
    assert list(choices.DATASETS) == list_datasets()
    of_the_data = {"num_classes", "in_chans", "frames"}
    assert set(NETWORK_OPTIONS) | of_the_data == set.union(*(option_names(name) for name in list_models()))


@pytest.mark.slow
@pytest.mark.parametrize("name", list_models())
def test_the_record_of_a_network_is_true(name):
    """`trevsnn models` shows what stands in networks.csv."""
    recorded = {row["name"]: row for row in recorded_networks()}
    assert list(recorded) == list_models()
    with torch.device("meta"):
        model = create_model(name)
    size, counts = model.default_cfg["input_size"], parameter_counts(model)
    assert recorded[name] == {
        "name": name,
        "parameters_training": counts["training"],
        "parameters_deployed": counts["deployed"],
        "macs": count_macs(model, size),
        "timesteps": model.config.timesteps,
        "input_size": "x".join(map(str, size)),
    }


@pytest.mark.parametrize("name", [command for command in COMMANDS if command not in ("models", "recipes")])
def test_what_does_the_work_takes_what_the_command_takes(name):
    parsed = app[name]
    command = parsed.default_command
    takes, given = (inspect.signature(function).parameters for function in (worker_of(command), command))
    assert takes.keys() == given.keys()
    assert all(parameter.kind == given[parameter.name].kind for parameter in takes.values())
