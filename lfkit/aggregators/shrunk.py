"""Dawid-Skene with as many numbers per function as the votes can tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfkit.aggregators.latent_class import LatentClassModel
from lfkit.dependencies import find_dependencies, first_winners
from lfkit.em import (
    EMFit,
    EqualTrust,
    FreeTables,
    Tables,
    TiedTables,
    run_em,
)
from lfkit.errors import InputError
from lfkit.evidence import Evidence
from lfkit.holdout import halves
from lfkit.votes import Patterns

_RUNGS = ("equal trust", "one coin", "per class", "full")
_SHRUNK = _RUNGS[2:]
# Standard errors by which a step has to win on votes it has not seen.
_LEAST_ERRORS = 1.0
# EM steps on patterns too many to be judged by all: a sample's fit is where they start.
_STEPS_ON_MANY = 15


class ShrunkDawidSkene(LatentClassModel):
    """Tables shrunk towards simpler ones, as far as held-out votes say.

    A ladder: equal trust in all functions, a plain vote; one coin per function; rates
    per class, shrunk towards the coin; whole tables, shrunk towards the rates.
    `strength` imaginary images per class hold a table near the one below. A rung is
    climbed, with the strength that explains the votes of one half of the images best by
    the tables of the other half, if it beats the last one taken by a standard error.
    Dependent functions share one vote: their log likelihoods are multiplied by the
    powers of `lfkit.dependencies.find_dependencies`.

    Parameters
    ----------
    strengths : imaginary images to choose from.
    dependencies : False takes functions for independent.

    Attributes
    ----------
    rung_ : "equal trust", "one coin", "per class" or "full".
    strength_ : of the shrinkage chosen; None on the first two rungs.
    related_ : (m', m') True for kept functions that depend on each other.
    half_fits_ : the two halves' votes, and the fit of the chosen rung to each.
    """

    def __init__(
        self,
        strengths: ArrayLike = (3.0, 30.0, 300.0),
        dependencies: bool = True,
        class_balance: ArrayLike | None = None,
        smoothing: float = 1.0,
        max_iter: int = 200,
        tol: float = 1e-5,
        random_state: int = 0,
    ) -> None:
        super().__init__(class_balance, smoothing, max_iter, tol, random_state)
        self.strengths = strengths
        self.dependencies = dependencies

    def _check_parameters(self) -> None:
        super()._check_parameters()
        strengths = np.asarray(self.strengths, dtype=np.float64)
        if strengths.ndim != 1 or not len(strengths) or not (strengths > 0).all():
            raise InputError(
                "ShrunkDawidSkene's strengths must be one or more numbers above 0, got "
                f"{self.strengths!r}."
            )

    def _fit_tables(self, patterns: Patterns, evidence: Evidence) -> EMFit:
        self.related_ = np.eye(len(self.columns_), dtype=bool)
        if self.dependencies:
            found = find_dependencies(patterns)
            self.powers_, self.related_ = found.powers, found.related()
        whole = _Ladder(self, patterns.counts, evidence)
        split = halves(patterns)
        parts = [_Ladder(self, half.counts, Evidence(half.votes)) for half in split]
        strengths = sorted(np.asarray(self.strengths, dtype=np.float64).tolist())
        if sum(len(half.counts) for half in split) < len(patterns.counts):
            whole.most_steps = min(self.max_iter, _STEPS_ON_MANY)
        self.rung_ = _RUNGS[0]
        self.strength_: float | None = None
        reached = [part.climb(self.rung_, None, 0) for part in parts]
        fit = None
        for rung in _RUNGS[1:]:
            tried = [
                [
                    part.climb(rung, below, s)
                    for part, below in zip(parts, reached, strict=True)
                ]
                for s in (strengths if rung in _SHRUNK else [0.0])
            ]
            gains = [_gain(parts, reached, fits) for fits in tried]
            best = int(np.argmax([gain.total for gain in gains]))
            if gains[best].total <= _LEAST_ERRORS * gains[best].error:
                continue  # a rung higher up may still pay
            reached, self.rung_ = tried[best], rung
            self.strength_ = strengths[best] if rung in _SHRUNK else None
            fit = whole.climb(rung, fit, strengths[best], near=reached[0])
        if fit is None:
            fit = whole.climb(self.rung_, None, 0, near=reached[0])
        self.half_fits_ = tuple(zip(split, reached, strict=True))
        return fit


class _Ladder:
    """Fits of growing size to the same votes."""

    def __init__(
        self,
        model: ShrunkDawidSkene,
        counts: NDArray[np.float64],
        evidence: Evidence,
    ) -> None:
        self.model = model
        self.counts = counts
        self.evidence = evidence
        self.symbols = evidence.symbol_counts(counts)
        self.most_steps = model.max_iter

    def climb(
        self, rung: str, below: EMFit | None, strength: float, near: EMFit | None = None
    ) -> EMFit:
        """Fit the tables of a rung.

        Parameters
        ----------
        below : the fit of the rung below, which larger tables are held near.
        near : a fit to other images to start from; None: the fit below.
        """
        family: Tables
        if rung == "equal trust":
            family = EqualTrust(self.symbols, self.model.smoothing)
        elif below is None or rung == "one coin":
            family = TiedTables(self.symbols, self.model.smoothing, per_class=False)
        elif rung == "per class":
            family = TiedTables(
                self.symbols, strength, per_class=True, centre=below.tables
            )
        else:
            family = FreeTables(strength * below.tables)
        # Not from the vote again: its optimum is likelier there, and less right.
        if near is not None:
            start = self._seen_by(near)
        elif rung in _SHRUNK and below is not None:
            start = below.posterior
        else:
            start = first_winners(
                self.evidence, self.model.class_prior_, self.model.powers_
            )
        prior = self.model.known_prior()
        if rung == "equal trust":
            prior = self.model.class_prior_
        return self._run(start, family, prior)

    def _seen_by(self, fit: EMFit) -> NDArray[np.float64]:
        return self.evidence.posterior(fit.tables, fit.prior, self._powers)[0]

    def log_likelihoods(self, fit: EMFit) -> NDArray[np.float64]:
        """Log likelihood of each pattern under what other votes taught, (u,)."""
        return self.evidence.posterior(fit.tables, fit.prior, self._powers)[1]

    @property
    def _powers(self) -> NDArray[np.float64] | None:
        powers = self.model.powers_
        return None if (powers == 1).all() else powers

    def _run(
        self,
        start: NDArray[np.float64],
        family: Tables,
        prior: NDArray[np.float64] | None,
    ) -> EMFit:
        return run_em(
            self.evidence,
            self.counts,
            start,
            family,
            prior=prior,
            smoothing=self.model.smoothing,
            powers=self._powers,
            max_iter=self.most_steps,
            tol=self.model.tol,
        )


@dataclass(frozen=True)
class _Gain:
    """By how much held-out votes are likelier, in all, and its standard error."""

    total: float
    error: float


def _gain(
    parts: Sequence[_Ladder], below: Sequence[EMFit], above: Sequence[EMFit]
) -> _Gain:
    """Score each half's votes by what the other half taught."""
    total = variance = 0.0
    for part, low, high in zip(parts, reversed(below), reversed(above), strict=True):
        gains = part.log_likelihoods(high) - part.log_likelihoods(low)  # (u,)
        n = part.counts.sum()
        mean = float(part.counts @ gains) / max(n, 1.0)
        total += n * mean
        variance += float(part.counts @ (gains - mean) ** 2)
    return _Gain(total, float(np.sqrt(variance)))
