import math

import pytest

from trevsnn._util.checks import is_number, is_whole


@pytest.mark.parametrize("value", [0, -3, 2.5, 1e308, 10**300])
def test_numbers(value):
    assert is_number(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, -(10**400), True, "1", None, 1j])
def test_what_is_no_finite_number(value):
    assert not is_number(value)


def test_whole_numbers():
    assert is_whole(10**400)
    assert not any(map(is_whole, (True, 1.0, "1")))
