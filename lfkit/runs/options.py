"""Options of a command: one dataclass is the command line's, Python's and run.json's.

Each field is `Annotated[type, Option(...)]`; the command line is made of them by
`lfkit.cli.options.with_options`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

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


def as_declared(options: Any) -> None:
    """Turn lists, texts and numpy's numbers into what the fields of options hold.

    For `__post_init__`: Python users may pass out="run" or lfs=["my_lfs.py"].
    """
    for name, hint in get_type_hints(type(options)).items():
        object.__setattr__(options, name, _as(hint, getattr(options, name)))


def _as(hint: Any, value: Any) -> Any:
    kinds = get_args(hint) if get_origin(hint) is UnionType else (hint,)
    several = next((kind for kind in kinds if get_origin(kind) is tuple), None)
    if several is not None:
        if isinstance(value, (str, os.PathLike)):
            value = (value,)  # not its letters
        if isinstance(value, Iterable):
            return tuple(_as(get_args(several)[0], each) for each in value)
    if Path in kinds and isinstance(value, str):
        return Path(value)
    if str in kinds and isinstance(value, os.PathLike):
        return os.fspath(value)
    is_number = isinstance(value, Integral) and not isinstance(value, int)
    return int(value) if is_number else value
