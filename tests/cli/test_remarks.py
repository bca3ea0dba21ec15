"""What is said of a network that learned nothing."""

import json

from trevsnn.cli.remarks import remarks_on
from trevsnn.data import load_dataset


def test_training_and_eval_say_so(trevsnn, tmp_path, quick):
    _, text, _ = trevsnn("train", "digits", "--output", tmp_path / "run", *quick)
    guessing, *others = [line for line in text.splitlines() if line.startswith("remark: ")]
    assert "cannot be told from guessing, which gets 10.28%; it took 5 optimiser steps: try more --epochs (" in guessing
    assert "a smaller --batch-size (now 240) or another --lr (now 0.01)" in guessing
    assert any(" blocks are silent, as no neuron inside fired in any of 64 samples (step 0 " in line for line in others)
    _, text, _ = trevsnn("eval", tmp_path / "run", "--json", tmp_path / "x.json")
    ((row),) = json.loads((tmp_path / "x.json").read_text())
    assert row["remarks"] == [line for line in text.splitlines() if line.startswith("remark: ")]
    assert [line.split(";")[0] for line in row["remarks"]] == [line.split(";")[0] for line in (guessing, *others)]


def test_what_goes_wrong_ends_nothing():
    def load():
        raise RuntimeError("CUDA out of memory,\nand more")

    lines = remarks_on(load, load_dataset("digits").test, 90, [10] * 10, "")
    assert lines == ["remark: firing rates could not be measured: CUDA out of memory, and more"]
