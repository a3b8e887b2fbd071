"""What Dawid-Skene's models share: tables of votes per class, learned by EM."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfkit.aggregators.inference.em import EMFit
from lfkit.aggregators.inference.vote_likelihood import VoteLikelihood
from lfkit.data.votes import Patterns, Votes
from lfkit.errors import InputError


class LatentClassModel(ABC):
    """Every image has a hidden class, every function a table P(vote | class).

    Dawid & Skene (1979), https://doi.org/10.2307/2346806. Abstaining is one more
    symbol a function may emit: a function that names one class only would otherwise
    say the same about every image, and the class prior alone would decide. So silence
    is evidence: an image without votes gets the posterior of that silence, which is
    not flat. `predict` still answers -1 there by default.

    A soft vote q is uncertain evidence of the symbol meant: its likelihood is
    sum_v q[v] P(v | class). A set of classes is the same with q uniform over the set.
    (Soft votes as fractions of a count, mean_v~q log P(v | class), scatter less than
    counts do, so the classes merge: accuracy .12 where the majority vote has .89.)

    EM starts from the winners of the majority vote. Every rate carries `smoothing`
    imaginary votes: about a class with few images a function is uninformative, not
    certain.

    Parameters
    ----------
    class_balance : (k,) the class prior, if known; None: learned.
    smoothing : imaginary votes per function and class, and imaginary images in the
        class prior; more than 0.
    max_iter : EM steps at most.
    tol : stop when a step gains less objective than this per image.

    Attributes
    ----------
    confusions_ : (m, k, k + 1); [j, y, v] = P(function j votes v | class y), v = k: it
        abstains. In the order of `names_`; a function that never voted abstains.
    class_prior_ : (k,)
    n_iter_ : EM steps taken.
    objective_ : (n_iter_,) log likelihood plus the log of the smoothing's Dirichlet
        densities (without their constants) after each step; it never falls.
    powers_ : (m',) what each kept function's log likelihood is multiplied by.
    """

    class_balance: ArrayLike | None
    class_prior_: NDArray[np.float64]
    confusions_: NDArray[np.float64]
    n_classes_: int
    names_: tuple[str, ...]
    columns_: NDArray[np.int64]

    def __init__(
        self,
        class_balance: ArrayLike | None = None,
        smoothing: float = 1.0,
        max_iter: int = 200,
        tol: float = 1e-5,
        random_state: int = 0,
    ) -> None:
        self.class_balance = class_balance
        self.smoothing = smoothing
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    @abstractmethod
    def _fit_tables(self, patterns: Patterns, evidence: VoteLikelihood) -> EMFit: ...

    def _check_parameters(self) -> None:
        name = type(self).__name__
        if not self.smoothing > 0:
            raise InputError(
                f"{name}'s smoothing must be more than 0, got {self.smoothing}; "
                "without it one image can rule a class out."
            )
        if self.max_iter < 1:
            raise InputError(
                f"{name}'s max_iter must be at least 1, got {self.max_iter}."
            )

    def known_prior(self) -> NDArray[np.float64] | None:
        """Give the class prior that is not to be learned, if there is one: (k,)."""
        return None if self.class_balance is None else self.class_prior_

    def _fit(self, patterns: Patterns, seeds: object) -> None:
        k = self.n_classes_
        self.powers_ = np.ones(len(self.columns_))
        found = self._fit_tables(patterns, VoteLikelihood(patterns.votes))
        self.class_prior_ = found.prior
        self.confusions_ = np.zeros((len(self.names_), k, k + 1))
        self.confusions_[:, :, k] = 1
        self.confusions_[self.columns_] = found.tables
        self.n_iter_ = len(found.objective)
        self.objective_ = found.objective

    def _predict_proba(self, votes: Votes) -> NDArray[np.float64]:
        tables = self.confusions_[self.columns_]
        powers = None if (self.powers_ == 1).all() else self.powers_
        return VoteLikelihood(votes).posterior(tables, self.class_prior_, powers)[0]
