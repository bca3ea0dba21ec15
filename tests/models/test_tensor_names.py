from trevsnn.models.tensor_names import in_groups


def test_whole_layers_and_numbers_are_taken_together():
    cells = [
        f"grid.cells.{t}.{level}.{part}" for t in range(3) for level in range(2) for part in ("norm.bias", "weight")
    ]
    heads = ["head.linear.weight", "head.linear.bias"]
    assert in_groups(heads, cells + heads) == ["head (2)"]
    assert in_groups([name for name in cells if name.endswith("weight")], cells) == ["grid.cells.0-2.0-1.weight (6)"]
    assert in_groups([name for name in cells if name.startswith("grid.cells.2")], cells) == ["grid.cells.2 (4)"]
    assert in_groups(cells, cells + heads) == ["grid (12)"]
    assert in_groups(["stem.bias"], ["stem.weight"]) == ["stem.bias"]
    assert in_groups([]) == []


def test_no_name_is_lost():
    names = [f"a.{i}.{kind}" for i in (0, 5, 7) for kind in ("x", "y")]
    assert in_groups(names[:3], names) == ["a.0 (2)", "a.5.x"]
