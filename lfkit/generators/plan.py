"""What the plan of every training says, of whatever kind of generator."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from lfkit.errors import InputError

PRECISIONS = ("auto", "float32", "bfloat16")
# Adam's steps are about as large as its rate, and a weight is about .1.
_LARGE_RATE = 0.02


@dataclass(frozen=True, kw_only=True)
class GeneratorPlan:
    """How a generator is trained; it refuses what makes no sense.

    Attributes
    ----------
    rates : names of its learning rates.
    n_steps : updates.
    batch : real images per step.
    reader_steps : of the network that afterwards learns to name the class of real
        images.
    precision : "auto": networks compute in bfloat16 on a GPU that multiplies in it,
        else in float32; "float32"; "bfloat16", which other processors imitate slowly.
        Weights and losses are float32 in any case.
    compile : networks are compiled by torch before they are trained; it takes minutes,
        and rounds otherwise.
    """

    rates: ClassVar[tuple[str, ...]] = ()

    n_steps: int = 6000
    batch: int = 64
    reader_steps: int = 600
    precision: str = "auto"
    compile: bool = False

    def __post_init__(self) -> None:
        """Refuse what no training can be done with."""
        check_choice("precision", self.precision, PRECISIONS)
        check_number("n_steps", self.n_steps, 1)
        check_number("batch", self.batch, 2)  # GANs are normalised over the batch
        check_number("reader_steps", self.reader_steps, 1)

    @property
    def first_pair(self) -> int:
        """The step from which labels are learned."""
        return 0

    def doubts(self, given: Collection[str]) -> list[str]:
        """Say which settings will probably break a training, or change nothing.

        Parameters
        ----------
        given : names of those that were asked for.
        """
        return [
            f"{name} is {getattr(self, name):g}: rates above {_LARGE_RATE:g} break "
            f"nearly every training; {getattr(type(self), name):g} is usual."
            for name in self.rates
            if getattr(self, name) > _LARGE_RATE
        ]


def check_choice(name: str, value: object, allowed: tuple[object, ...]) -> None:
    """Refuse what is not among the values of a setting."""
    if value not in allowed:
        known = ", ".join(map(str, allowed))
        raise InputError(f"{name} is {value!r}; choose from {known}.")


def check_number(name: str, value: float, least: float, most: float = math.inf) -> None:
    """Refuse a number outside of a setting's bounds, both of which are allowed."""
    if least <= value <= most and math.isfinite(value):
        return
    bounds = f"{least:g} or more" if most == math.inf else f"{least:g} to {most:g}"
    raise InputError(f"{name} is {value:g}; give {bounds}.")
