"""An MS-ResNet with temporal reversibility through the commands."""

import json
from itertools import pairwise

import pytest


def test_it_is_trained_tested_counted_and_studied(trevsnn, quick, tmp_path):
    run, table = tmp_path / "run", tmp_path / "table.json"
    options = ["2" if before == "--timesteps" else token for before, token in pairwise(["", *quick])]
    for tokens in (
        ["train", "digits", "--model", "trev_ms_resnet_digits", "--no-fusion", *options, "--output", run],
        ["eval", run],
        ["energy", run, "--images", 10],
        ["gradients", run, "--images", 8, "--json", table],
    ):
        code, _, error = trevsnn(*tokens)
        assert code == 0, error
    assert all(row["spatial"]["none"] in (None, pytest.approx(1)) for row in json.loads(table.read_text()))
