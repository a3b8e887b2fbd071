"""Dawid-Skene: tables of votes in three sizes, learned without labels."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from lfkit.aggregators.aggregator import Aggregator
from lfkit.aggregators.inference.em import (
    EMFit,
    FreeTables,
    Tables,
    TiedTables,
    run_em,
    vote_winners,
)
from lfkit.aggregators.inference.latent_class import LatentClassModel
from lfkit.aggregators.inference.vote_likelihood import VoteLikelihood
from lfkit.data.votes import Patterns


class DawidSkene(LatentClassModel, Aggregator):
    """Each labeling function has its own confusion matrix, learned by EM.

    The imaginary votes of `smoothing` are spread as the function votes on all images.
    It assumes that functions err independently: copies of one function make it
    overconfident (`ShrunkDawidSkene` finds them). k (k + 1) numbers per function are
    more than a few thousand images can tell.
    """

    tables: ClassVar[Literal["tied", "per-class", "full"]] = "full"

    def _fit_tables(self, patterns: Patterns, evidence: VoteLikelihood) -> EMFit:
        return run_em(
            evidence,
            patterns.counts,
            vote_winners(evidence, self.class_prior_),
            self._family(evidence.symbol_counts(patterns.counts)),
            prior=self.known_prior(),
            smoothing=self.smoothing,
            max_iter=self.max_iter,
            tol=self.tol,
        )

    def _family(self, symbols: NDArray[np.float64]) -> Tables:
        """Give the tables to choose from; symbols: their counts, (m', k + 1)."""
        if self.tables != "full":
            per_class = self.tables == "per-class"
            return TiedTables(symbols, self.smoothing, per_class=per_class)
        symbols = symbols + 1  # one not seen so far may come when predicting
        shares = symbols / symbols.sum(axis=1, keepdims=True)
        each_class = np.repeat(shares[:, None], self.n_classes_, axis=1)
        return FreeTables(self.smoothing * each_class)


class ClassConditional(DawidSkene):
    """Each labeling function has rates of hits, errors and silence for each class.

    The diagonal of Dawid & Skene's tables is free, its errors are spread equally over
    the other classes that the function names: two numbers per function and class.
    """

    tables = "per-class"


class OneCoin(DawidSkene):
    """Each labeling function has one rate of hits, of errors and of silence.

    The "one-coin" model (Zhang et al. 2016, https://arxiv.org/abs/1406.3824) with
    abstentions: of the images of the classes a function names it labels a share
    rightly, a share wrongly, and is silent on the rest; on images of other classes it
    errs or is silent at rates of their own. Errors are spread over the classes it
    names. Two to three numbers per function: the safest model for few images.
    """

    tables = "tied"
