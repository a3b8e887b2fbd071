"""Options that are more than one word."""

import pytest

from lfkit.cli.options import parse_size, split_list, split_shares
from lfkit.errors import InputError


@pytest.mark.parametrize(
    ("text", "size"),
    [("64", (64, 64)), ("64x48", (64, 48)), ("64X48", (64, 48)), (None, None)],
)
def test_a_size_is_one_side_or_height_by_width(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "x", "64x", "x64", "0", "-3", "1x2x3", "6.5", "a"]
)
def test_what_is_no_size_is_an_error(text):
    with pytest.raises(
        InputError, match=f"--size {text!r} is no size; give 64, or 64x"
    ):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [("a", ("a",)), (" a, b ,", ("a", "b")), ("", ()), (None, ())],
)
def test_a_list_is_parted_by_commas(text, parts):
    assert split_list(text) == parts


def test_shares_are_numbers():
    assert split_shares(".5, .3,0.2") == (0.5, 0.3, 0.2)
    assert split_shares(None) is None


def test_what_is_no_share_is_an_error():
    with pytest.raises(InputError, match=r"--class-balance 'a,b' is no list of shares"):
        split_shares("a,b")
