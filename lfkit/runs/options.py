"""Options of a command: one dataclass is the command line's, Python's and run.json's.

Each field is `Annotated[type, Option(...)]`; the command line is made of them by
`lfkit.cli.options.with_options`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lfkit.errors import InputError


@dataclass(frozen=True)
class Option:
    """How the command line shows one field of an options dataclass.

    Attributes
    ----------
    help : what it does, in a sentence.
    metavar : what stands for its value in the help.
    name : the option's name; None: the field's, with dashes.
    parse : turns the text into the field's value, where that is more than a word.
    is_argument : it is given without a name.
    """

    help: str
    metavar: str | None = None
    name: str | None = None
    parse: Callable[[str], Any] | None = None
    is_argument: bool = False


def parse_size(text: str) -> tuple[int, int]:
    """Read "64" or "64x48" as (height, width).

    >>> parse_size("64x48")
    (64, 48)
    """
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise InputError(f"--size is {text!r}; give 64, or 64x48 (height x width).")
    return int(sides[0]), int(sides[-1])


def split_list(text: str) -> tuple[str, ...]:
    """Read "a,b" as its parts.

    >>> split_list("heuristic, deep")
    ('heuristic', 'deep')
    """
    return tuple(part.strip() for part in text.split(",") if part.strip())


def shares_of(option: str) -> Callable[[str], tuple[float, ...]]:
    """Make what reads ".5,.3,.2" as numbers, for an option of this name."""

    def parse(text: str) -> tuple[float, ...]:
        try:
            return tuple(float(part) for part in split_list(text))
        except ValueError as error:
            raise InputError(
                f"{option} is {text!r}; give one number per class, such as .5,.3,.2."
            ) from error

    return parse


def check_seed(seed: int) -> None:
    """Refuse a negative --seed."""
    if seed < 0:
        raise InputError(f"--seed is {seed}; give a whole number from 0 on.")
