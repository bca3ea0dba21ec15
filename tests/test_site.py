"""The site of the documentation: it builds without a warning, and its API reference has every public name."""

import importlib
import pkgutil
import subprocess
import sys
import zlib
from pathlib import Path

import trevsnn

ROOT = Path(__file__).parent.parent


def public_names():
    """Of every package but the command line, whose reference is its help."""
    for module in pkgutil.walk_packages(trevsnn.__path__, "trevsnn."):
        if module.ispkg and not module.name.startswith("trevsnn.cli"):
            for name in getattr(importlib.import_module(module.name), "__all__", ()):
                yield f"{module.name}.{name}"


def described_names(inventory):
    """What a site's objects.inv lists: four lines of heading, then compressed lines that begin with a name."""
    lines = zlib.decompress(inventory.split(b"\n", 4)[4]).decode().splitlines()
    return {line.split()[0] for line in lines}


def test_it_builds_strictly_and_has_every_public_name(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert built.returncode == 0, built.stderr
    assert {*public_names()} <= described_names((tmp_path / "objects.inv").read_bytes())


def test_the_first_page_of_the_reference_has_what_the_package_brings():
    text = (ROOT / "docs/api/index.md").read_text(encoding="utf-8")
    assert [name for name in trevsnn.__all__ if f"[`{name}`](" not in text] == []
