"""What `import trevsnn` brings, each time in a process of its own."""

import subprocess
import sys

import pytest

import trevsnn
from trevsnn import data, training
from trevsnn.data import events

OPTIONAL = ("cyclopts", "jinja2", "matplotlib", "rich", "scipy", "sklearn", "tensorboard")


def printed(code, *options):
    """What a program prints."""
    command = [sys.executable, *options, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=True).stdout.split()


def test_it_brings_pytorch_and_nothing_that_only_some_need_and_timm_learns_of_the_networks_later():
    code = f"""
import sys, trevsnn.reversible
print(*({{*{OPTIONAL}, 'torch'}} & {{*sys.modules}}))
import timm
print(timm.create_model('trevsnn_digits').config.timesteps)
"""
    assert printed(code) == ["torch", "4"]


def test_timm_knows_the_networks():
    assert printed("import timm, trevsnn; print(timm.create_model('trevsnn_digits').config.timesteps)") == ["4"]


def test_the_command_line_imports_names_when_they_are_used():
    code = """
import sys
sys.argv[0] = "/usr/bin/trevsnn"
import trevsnn
assert "torch" not in sys.modules
assert {*trevsnn.__all__} <= {*dir(trevsnn)}
from trevsnn import ReversibleGrid
import timm
print(trevsnn.create_model("trevsnn_digits").config.timesteps, timm.is_model("trevsnn_digits"))
"""
    assert printed(code) == ["4", "True"]


@pytest.mark.parametrize("package", [trevsnn, data, events, training], ids=lambda package: package.__name__)
def test_every_public_name_is_there(package):
    for name in package.__all__:
        assert getattr(package, name) is not None
    assert {*package.__all__} <= {*dir(package)}
    with pytest.raises(AttributeError, match="nonsense"):
        package.nonsense  # noqa: B018
