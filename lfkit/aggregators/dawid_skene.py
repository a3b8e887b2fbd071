"""Dawid-Skene: a confusion matrix per function, learned without labels."""

from __future__ import annotations

import numpy as np

from lfkit.aggregators.inference.em import EMFit, FreeTables, run_em, vote_winners
from lfkit.aggregators.inference.vote_likelihood import VoteLikelihood
from lfkit.aggregators.latent_class import LatentClassModel
from lfkit.data.votes import Patterns


class DawidSkene(LatentClassModel):
    """Each labeling function has its own confusion matrix, learned by EM.

    The imaginary votes of `smoothing` are spread as the function votes on all images.
    It assumes that functions err independently: copies of one function make it
    overconfident (`ShrunkDawidSkene` finds them). k (k + 1) numbers per function are
    more than a few thousand images can tell.
    """

    def _fit_tables(self, patterns: Patterns, evidence: VoteLikelihood) -> EMFit:
        symbols = (
            evidence.symbol_counts(patterns.counts) + 1
        )  # may come when predicting
        shares = symbols / symbols.sum(axis=1, keepdims=True)  # (m', k + 1)
        k = self.n_classes_
        imaginary = np.repeat(self.smoothing * shares[:, None], k, axis=1)
        return run_em(
            evidence,
            patterns.counts,
            vote_winners(evidence, self.class_prior_),
            FreeTables(imaginary),
            prior=self.known_prior(),
            smoothing=self.smoothing,
            max_iter=self.max_iter,
            tol=self.tol,
        )
