"""Dawid-Skene with as many numbers per function as the votes can tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfkit.aggregators.aggregator import Aggregator
from lfkit.aggregators.inference.dependencies import find_dependencies, first_winners
from lfkit.aggregators.inference.em import (
    EMFit,
    EqualTrust,
    FreeTables,
    Tables,
    TiedTables,
    run_em,
)
from lfkit.aggregators.inference.held_out_votes import halves
from lfkit.aggregators.inference.latent_class import LatentClassModel
from lfkit.aggregators.inference.vote_likelihood import VoteLikelihood
from lfkit.data.votes import Patterns
from lfkit.errors import InputError

_RUNGS = ("equal trust", "one coin", "per class", "full")
_SHRUNK = _RUNGS[2:]
# Standard errors by which a step has to win on held-out votes.
_LEAST_ERRORS = 1.0
# Shares of images. On drawn votes (benchmarks.label_models) good fits to the halves
# agree on .75 to .99 of them and change .01 to .3 of the coin's labels; those that had
# exchanged classes agree on .05 to .9 and change .33 to .7.
_LEAST_AGREEMENT, _MOST_CHANGE = 0.7, 1 / 3
# EM steps of the fits that are only compared.
_STEPS_TO_JUDGE = 25
# EM steps on patterns too many to be judged by all: a sample's fit is where they start.
_STEPS_ON_MANY = 15


class ShrunkDawidSkene(LatentClassModel, Aggregator):
    """Tables shrunk towards simpler ones, as far as held-out votes say.

    A ladder: equal trust in all functions, a plain vote; one coin per function; rates
    per class or whole tables, shrunk towards the coin. `strength` imaginary images per
    class hold a table near the coin. A rung is climbed, with the strength that explains
    the votes of one half of the images best by the tables of the other half, if it
    beats the one below by a standard error.

    Likelier tables can be another optimum, with classes exchanged. So a rung is also
    left out where the tables of the two halves label less than seven of ten images
    alike, or the labels of more than a third are not those of the coin.
    Dependent functions share one vote: their log likelihoods are multiplied by the
    powers of `lfkit.aggregators.inference.dependencies.find_dependencies`.

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

    def _fit_tables(self, patterns: Patterns, evidence: VoteLikelihood) -> EMFit:
        self.related_ = np.eye(len(self.columns_), dtype=bool)
        if self.dependencies:
            found = find_dependencies(patterns)
            self.powers_, self.related_ = found.powers, found.related()
        whole = _Ladder(self, patterns.counts, evidence)
        split = halves(patterns)
        parts = [
            _Ladder(self, half.counts, VoteLikelihood(half.votes)) for half in split
        ]
        for part in parts:
            part.most_steps = min(self.max_iter, _STEPS_TO_JUDGE)
        strengths = sorted(np.asarray(self.strengths, dtype=np.float64).tolist())
        if sum(len(half.counts) for half in split) < len(patterns.counts):
            whole.most_steps = min(self.max_iter, _STEPS_ON_MANY)

        def step(rung: str, strength: float = 0.0) -> _Step:
            below = [None, None] if rung in _RUNGS[:2] else coin.fits
            return _Step(
                rung,
                strength,
                [
                    part.climb(rung, low, strength)
                    for part, low in zip(parts, below, strict=True)
                ],
            )

        coin = step("one coin")
        reached = _climbed(parts, step(_RUNGS[0]), [coin], coin)
        larger = [step(rung, s) for rung in _SHRUNK for s in strengths]
        reached = _climbed(parts, reached, larger, coin)
        self.rung_ = reached.rung
        self.strength_ = reached.strength if reached.rung in _SHRUNK else None
        nearest = reached if reached.rung == _RUNGS[0] else coin
        fit = whole.climb(nearest.rung, None, 0, near=nearest.fits[0])
        if reached.rung in _SHRUNK:
            fit = whole.climb(reached.rung, fit, reached.strength, reached.fits[0])
        self.half_fits_ = tuple(zip(split, reached.fits, strict=True))
        return fit


class _Ladder:
    """Fits of growing size to the same votes."""

    def __init__(
        self,
        model: ShrunkDawidSkene,
        counts: NDArray[np.float64],
        evidence: VoteLikelihood,
    ) -> None:
        self.model = model
        self.counts = counts
        self.evidence = evidence
        self.symbols = evidence.symbol_counts(counts)
        self.has_votes = evidence.vote_sums().sum(axis=1) > 0
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
        return self.judged(fit)[0]

    def judged(self, fit: EMFit) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give posterior, (u, k), and log likelihood, (u,), by what others taught."""
        return self.evidence.posterior(fit.tables, fit.prior, self._powers)

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


@dataclass(frozen=True, eq=False)
class _Step:
    """One size of tables, fitted to each half of the images."""

    rung: str
    strength: float
    fits: Sequence[EMFit]


def _climbed(
    parts: Sequence[_Ladder], below: _Step, larger: Sequence[_Step], coin: _Step
) -> _Step:
    """Give the step that gains most on held-out votes; `below` if none gains."""
    # What the other half's tables say of each half.
    low = [
        part.judged(fit)[1] for part, fit in zip(parts, below.fits[::-1], strict=True)
    ]
    best, most = below, 0.0
    for step in larger:
        total = variance = alike = changed = voted = 0.0
        others = step.fits[::-1]
        for part, other, own, was, plain in zip(
            parts, others, step.fits, low, coin.fits, strict=True
        ):
            posterior, likelihood = part.judged(other)
            gains = likelihood - was  # (u,)
            n = part.counts.sum()
            mean = float(part.counts @ gains) / max(n, 1.0)
            total += n * mean
            variance += float(part.counts @ (gains - mean) ** 2)
            counted = part.counts * part.has_votes
            labels = own.posterior.argmax(axis=1)
            alike += float(counted @ (posterior.argmax(axis=1) == labels))
            changed += float(counted @ (plain.posterior.argmax(axis=1) != labels))
            voted += float(counted.sum())
        is_same = alike >= _LEAST_AGREEMENT * voted and changed <= _MOST_CHANGE * voted
        if is_same and total > max(most, _LEAST_ERRORS * float(np.sqrt(variance))):
            best, most = step, total
    return best
