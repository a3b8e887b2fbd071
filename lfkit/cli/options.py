"""Reads the options that are more than one word."""

from __future__ import annotations

from lfkit.errors import InputError


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Read "64" or "64x48" as (height, width).

    >>> parse_size("64x48")
    (64, 48)
    """
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise InputError(
            f"--size {text!r} is no size; give 64, or 64x48 (height x width)."
        )
    return int(sides[0]), int(sides[-1])


def split_list(text: str | None) -> tuple[str, ...]:
    """Read "a,b" as its parts.

    >>> split_list("heuristic, deep")
    ('heuristic', 'deep')
    """
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def split_shares(text: str | None) -> tuple[float, ...] | None:
    """Read ".5,.3,.2" as numbers."""
    if text is None:
        return None
    try:
        return tuple(float(part) for part in split_list(text))
    except ValueError as error:
        raise InputError(
            f"--class-balance {text!r} is no list of shares; give one number per "
            "class, such as .5,.3,.2."
        ) from error
