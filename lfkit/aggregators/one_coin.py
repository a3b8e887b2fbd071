"""One-coin Dawid-Skene: each function has one accuracy, whatever the class."""

from __future__ import annotations

from lfkit.aggregators.inference.em import EMFit, TiedTables, run_em, vote_winners
from lfkit.aggregators.inference.vote_likelihood import VoteLikelihood
from lfkit.aggregators.latent_class import LatentClassModel
from lfkit.data.votes import Patterns


class OneCoin(LatentClassModel):
    """Each labeling function has one rate of hits, of errors and of silence.

    The "one-coin" model (Zhang et al. 2016, https://arxiv.org/abs/1406.3824) with
    abstentions: of the images of the classes a function names it labels a share
    rightly, a share wrongly, and is silent on the rest; on images of other classes it
    errs or is silent at rates of their own. Errors are spread over the classes it
    names. Two to three numbers per function: the safest model for few images.
    """

    def _fit_tables(self, patterns: Patterns, evidence: VoteLikelihood) -> EMFit:
        symbols = evidence.symbol_counts(patterns.counts)
        return run_em(
            evidence,
            patterns.counts,
            vote_winners(evidence, self.class_prior_),
            TiedTables(symbols, self.smoothing, per_class=False),
            prior=self.known_prior(),
            smoothing=self.smoothing,
            max_iter=self.max_iter,
            tol=self.tol,
        )
