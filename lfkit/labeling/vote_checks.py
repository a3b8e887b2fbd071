"""What a labeling function may return, and what is said of anything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.votes import ABSTAIN
from lfkit.features.user_code.sealed_inputs import as_plain
from lfkit.labeling.one_of import OneOf

if TYPE_CHECKING:
    import torch


class BadResult(Exception):
    """A function returned something it must not; the message says what."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def check_of(
    soft: bool, classes: tuple[int, ...] | None, n_classes: int | None
) -> Callable[[Any], Any]:
    """Give what turns an answer into a vote or weights, or raises BadResult."""
    return _soft_check(classes) if soft else _hard_check(classes, n_classes)


def _hard_check(
    classes: tuple[int, ...] | None, n_classes: int | None
) -> Callable[[Any], int | OneOf]:
    if classes is not None:
        valid = {ABSTAIN, *classes}
        said = f"it declares classes {classes}; return one of them or ABSTAIN"
    else:
        valid = set(range(ABSTAIN, n_classes or 0))
        said = f"the run has classes 0..{(n_classes or 0) - 1}"

    def check(vote: Any) -> int | OneOf:
        if type(vote) is int and vote in valid:
            return vote
        if isinstance(vote, OneOf):
            if not valid.issuperset(vote.classes):
                raise BadResult("voted an undeclared class", f"voted {vote}; {said}")
            return vote if len(vote.classes) > 1 else vote.classes[0]
        if vote is None:
            raise BadResult("returned None", f"returned None; {said}")
        if isinstance(vote, (bool, np.bool_)):
            raise BadResult(
                "returned a bool", f"returned {vote}, which is not a class; {said}"
            )
        if isinstance(vote, (float, np.floating)):
            kind = "returned NaN" if vote != vote else "returned a float"
            raise BadResult(kind, f"returned {vote!r}; classes are ints; {said}")
        if not isinstance(vote, (int, np.integer)):
            shape = getattr(vote, "shape", None)
            kind = "returned no class" if shape is None else "returned a wrong shape"
            raise BadResult(kind, f"returned {short(vote)}, not one class; {said}")
        if int(vote) not in valid:
            raise BadResult("voted an undeclared class", f"voted {int(vote)}; {said}")
        return int(vote)

    return check


def _soft_check(
    classes: tuple[int, ...] | None,
) -> Callable[[Any], NDArray[np.float32]]:
    k = len(classes or ())

    def check(weights: Any) -> NDArray[np.float32]:
        if weights is None:
            raise BadResult("returned None", f"returned None; expected {k} weights")
        try:
            given = np.asarray(weights)
            if given.dtype.kind not in "biufO":  # text, dates, complex numbers
                raise TypeError
            row = np.array(given, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise BadResult(
                "returned no weights",
                f"returned {short(weights)}; expected {k} weights",
            ) from error
        if row.shape != (k,):
            raise BadResult(
                "returned a wrong shape",
                f"returned shape {row.shape}; expected {k} weights, one per class of "
                f"{classes}",
            )
        if not np.isfinite(row).all():
            raise BadResult("returned NaN", f"returned weights {row.tolist()}")
        if (row < 0).any():
            raise BadResult(
                "returned a negative weight", f"returned weights {row.tolist()}"
            )
        total = row.sum()
        return row / total if total > 0 else row

    return check


def short(value: Any) -> str:
    """Show what a function returned, in a few words."""
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"an array of shape {tuple(shape)}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def checked_answer(
    soft: bool, classes: tuple[int, ...] | None, value: Any, n: int, device: str
) -> torch.Tensor:
    """Give what a batched function returned: int64 classes, bool sets, float32 weights.

    Sets are (n, classes), True for each class that it may be.
    """
    import torch

    value = as_plain(torch.as_tensor(value), device)
    is_set = not soft and value.dtype == torch.bool and value.ndim == 2
    expected = (n, len(classes or ())) if soft or is_set else (n,)
    if tuple(value.shape) != expected:
        raise TypeError(
            f"returned shape {tuple(value.shape)} for {n} images; expected {expected}"
        )
    if soft:
        return value.to(torch.float32)
    if is_set:
        return value
    if value.dtype.is_floating_point or value.dtype == torch.bool:
        raise TypeError(
            f"returned {value.dtype}; classes are whole numbers: end with .long()"
        )
    return value.to(torch.int64)
