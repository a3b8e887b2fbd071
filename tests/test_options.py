"""Options that are more than one word."""

import pytest

from lfkit.errors import InputError
from lfkit.runs.options import parse_size, shares_of, split_list


@pytest.mark.parametrize(
    ("text", "size"),
    [("64", (64, 64)), ("64x48", (64, 48)), ("64X48", (64, 48))],
)
def test_a_size_is_one_side_or_height_by_width(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "x", "64x", "x64", "0", "-3", "1x2x3", "6.5", "a"]
)
def test_what_is_no_size_is_an_error(text):
    with pytest.raises(InputError, match=f"--size is {text!r}; give 64, or 64x"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [("a", ("a",)), (" a, b ,", ("a", "b")), ("", ())],
)
def test_a_list_is_parted_by_commas(text, parts):
    assert split_list(text) == parts


def test_shares_are_numbers():
    assert shares_of("--class-balance")(".5, .3,0.2") == (0.5, 0.3, 0.2)


def test_what_is_no_share_is_an_error():
    with pytest.raises(InputError, match=r"--class-balance is 'a,b'; give one"):
        shares_of("--class-balance")("a,b")
