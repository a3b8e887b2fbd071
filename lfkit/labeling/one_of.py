"""A vote for a set of classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lfkit.errors import DeclarationError


@dataclass(frozen=True, init=False)
class OneOf:
    """A vote for a set of classes: the image is one of these, no matter which.

    A set is another vote than "60 % a car, 40 % a truck": it says nothing of shares. A
    set of one class is a vote for it; all classes of the run say nothing: no vote.

    Attributes
    ----------
    classes : sorted, each once.

    >>> CAR, TRUCK = 1, 9
    >>> OneOf[CAR, TRUCK] == OneOf(TRUCK, CAR)
    True
    >>> OneOf(*range(3))
    OneOf[0, 1, 2]
    """

    classes: tuple[int, ...]

    def __init__(self, *classes: int) -> None:
        if not classes:
            raise DeclarationError(
                "OneOf names no class; name those that it may be, or return ABSTAIN."
            )
        for label in classes:
            whole = isinstance(label, (int, np.integer)) and not isinstance(label, bool)
            if not whole or label < 0:
                raise DeclarationError(
                    f"OneOf names {label!r}; its classes are whole numbers 0..k-1."
                )
        object.__setattr__(self, "classes", tuple(sorted({int(c) for c in classes})))

    def __class_getitem__(cls, classes: Any) -> OneOf:
        return cls(*classes) if isinstance(classes, tuple) else cls(classes)

    def __repr__(self) -> str:
        return f"OneOf[{', '.join(map(str, self.classes))}]"
