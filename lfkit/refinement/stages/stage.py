"""The contract of a stage: arrays in, arrays out, kept under a name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lfkit.data.progress import Progress
from lfkit.nn import Checkpoints
from lfkit.refinement.class_prior import align
from lfkit.refinement.problem import RefinementProblem

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class StageContext:
    """What a stage may use beside its problem.

    Attributes
    ----------
    checkpoints : gives where a long training is kept, by name; None: nowhere.
    remember : gives what was kept under a name, or computes and keeps it.
    seconds_left : until labels are due; None: no limit.
    progress : called with a text, the steps done and all steps; may be None.
    """

    remember: Callable[[str, Callable[[], dict[str, NDArray[Any]]]], Arrays]
    checkpoints: Callable[[str], Checkpoints] | None = None
    seconds_left: Callable[[], float] | None = None
    progress: Progress | None = None


class Stage(ABC):
    """One step from labels to better labels.

    A stage has no state: what it finds are named arrays, which the stages after it
    read and the store keeps. "proba", (n, k), is the posterior so far.

    Attributes
    ----------
    name : what the user calls it.
    cheap : it takes seconds, so that it can be judged on held-out seeds.
    """

    name: ClassVar[str]
    cheap: ClassVar[bool] = True

    def why_not(self, problem: RefinementProblem, known: Arrays) -> str | None:
        """Say why there is nothing for it to do, or None."""
        return None

    @abstractmethod
    def run(
        self, problem: RefinementProblem, known: Arrays, tools: StageContext
    ) -> dict[str, NDArray[Any]]:
        """Give new arrays; the posterior among them."""


def number(value: float) -> NDArray[np.float64]:
    """Wrap a number to be kept beside arrays."""
    return np.asarray(value, np.float64)


def evenly(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Take at most so many rows, spread over all: data may be sorted by class."""
    return rows[:: max(1, -(-len(rows) // most))]


def aligned(proba: NDArray[np.float64], known: Arrays) -> NDArray[np.float64]:
    """Align posteriors again, if that stage was run."""
    if "class_prior" not in known:
        return proba
    return align(proba, known["class_prior"])


def confirms(looked: NDArray[np.float64], votes: NDArray[np.float64]) -> bool:
    """Tell whether features agree with the votes that they did not learn from.

    They must be nearer to what the votes claim to be right than to chance.

    Parameters
    ----------
    looked, votes : (n, k).
    """
    if not len(votes):
        return False
    k = votes.shape[1]
    a, b = looked.argmax(axis=1), votes.argmax(axis=1)
    shares = [np.bincount(c, minlength=k) / len(c) for c in (a, b)]
    agreement, chance = float((a == b).mean()), float(shares[0] @ shares[1])
    claimed = float(votes.max(axis=1).mean())
    return agreement > (chance + claimed) / 2
