"""The checks: what passes, and that a failure names argument, expectation and value."""

import numpy as np
import pytest

from minissd.errors import DeviceError, InputError, check, check_positive_int, check_shape


def test_check_names_argument_expectation_and_value():
    check(True, "ratio", "a positive number", -1)
    with pytest.raises(ValueError, match=r"^ratio: expected a positive number, got -1$"):
        check(False, "ratio", "a positive number", -1)
    with pytest.raises(ValueError, match="got 'text'"):
        check(False, "ratio", "a number", "text")


def test_errors_of_users_are_value_errors():
    assert issubclass(InputError, ValueError)
    assert issubclass(DeviceError, ValueError)
    assert not issubclass(DeviceError, InputError)


@pytest.mark.parametrize(
    "shape, expected",
    [
        ((5, 4), (5, 4)),
        ((5, 4), ("N", 4)),
        ((0, 4), (None, 4)),
        ((), ()),
        ((2, 3, 4), ("N", "H", "W")),
    ],
)
def test_shapes_that_fit(xp, shape, expected):
    check_shape(xp.zeros(shape), expected, "boxes")


@pytest.mark.parametrize(
    "shape, expected, words",
    [
        ((5, 3), ("N", 4), r"boxes: expected shape \(N, 4\), got \(5, 3\)"),
        ((4,), ("N", 4), r"boxes: expected shape \(N, 4\), got \(4,\)"),
        ((1, 5, 4), (None, 4), r"boxes: expected shape \(any, 4\), got \(1, 5, 4\)"),
        ((), ("N",), r"got \(\)"),
    ],
)
def test_shapes_that_do_not_fit(xp, shape, expected, words):
    with pytest.raises(ValueError, match=words):
        check_shape(xp.zeros(shape), expected, "boxes")


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_whole_numbers_become_int(value):
    result = check_positive_int(value, "size")
    assert result == 3
    assert type(result) is int
    assert check_positive_int(0, "padding", minimum=0) == 0


@pytest.mark.parametrize(
    "value, words",
    [
        (2.0, "size: expected a whole number, got 2.0"),
        ("2", "size: expected a whole number, got '2'"),
        (None, "size: expected a whole number, got None"),
        (True, "size: expected a whole number, got True"),
        (np.True_, "size: expected a whole number"),
        (float("nan"), "size: expected a whole number, got nan"),
        (0, "size: expected at least 1, got 0"),
        (-4, "size: expected at least 1, got -4"),
    ],
)
def test_other_values_are_refused_by_name(value, words):
    with pytest.raises(ValueError, match=words):
        check_positive_int(value, "size")


def test_the_minimum_is_in_the_message():
    with pytest.raises(ValueError, match="at least 96, got 95"):
        check_positive_int(95, "image_size", minimum=96)
