"""Class-conditional Dawid-Skene: each function has one accuracy per class."""

from __future__ import annotations

from lfkit.aggregators.inference.em import EMFit, TiedTables, run_em, vote_winners
from lfkit.aggregators.inference.vote_likelihood import VoteLikelihood
from lfkit.aggregators.latent_class import LatentClassModel
from lfkit.data.votes import Patterns


class ClassConditional(LatentClassModel):
    """Each labeling function has rates of hits, errors and silence for each class.

    The diagonal of Dawid & Skene's tables is free, its errors are spread equally over
    the other classes that the function names: two numbers per function and class.
    """

    def _fit_tables(self, patterns: Patterns, evidence: VoteLikelihood) -> EMFit:
        symbols = evidence.symbol_counts(patterns.counts)
        return run_em(
            evidence,
            patterns.counts,
            vote_winners(evidence, self.class_prior_),
            TiedTables(symbols, self.smoothing, per_class=True),
            prior=self.known_prior(),
            smoothing=self.smoothing,
            max_iter=self.max_iter,
            tol=self.tol,
        )
