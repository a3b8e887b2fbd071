"""The default: a plain vote, unless something better is shown to be better."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfkit.aggregators.aggregator import Aggregator, SeedVotes
from lfkit.aggregators.majority_vote import MajorityVote
from lfkit.aggregators.seed_weighted import SeedWeightedVote
from lfkit.aggregators.shrunk import ShrunkDawidSkene
from lfkit.calibration import cross_calibrated, log_losses
from lfkit.em import EMFit
from lfkit.evidence import Evidence, vote_distributions
from lfkit.holdout import predicted_votes
from lfkit.votes import Patterns, Votes

# Seeds, with votes of functions that have not seen them, that are enough to judge by.
_ENOUGH_SEEDS = 30
# Standard errors that count as shown: seeds are the truth, other votes a sign of it.
_ERRORS_ON_SEEDS, _ERRORS_ON_VOTES = 1.0, 2.0
# Log loss per vote that learned labels may lose in foretelling others. Where functions
# are right independently of each other they lost .004 and were still more often right;
# of real functions, which err together, they lose .01.
_LEAST_LOSS = 0.006
_ENOUGH_PATTERNS = 2000
# Log odds of one vote, for a plain vote to be scored as a posterior.
_WEIGHTS_OF_A_VOTE = (0.5, 1.0, 2.0, 4.0)


class Auto(Aggregator):
    """Chooses between a plain vote and models that learn, by evidence.

    With 30 seeds or more, and votes on them by functions that have not seen them, the
    judge is the log loss of the seeds' true classes, each posterior tempered first (by
    other seeds): of the majority vote, of `ShrunkDawidSkene`, fitted to all votes, and
    of `SeedWeightedVote`, fitted to other seeds. The majority vote wins unless it is
    beaten by a standard error, and so does `SeedWeightedVote` over
    `ShrunkDawidSkene`.

    Without seeds the judge is the likelihood of held-out votes. `ShrunkDawidSkene` is
    taken if it climbs above equal trust or finds copies, unless the functions err
    together: then the label that some functions give foretells the votes of others
    worse than that of the majority vote, by two standard errors and by .006 nats.

    Attributes
    ----------
    chosen_ : "majority-vote", "shrunk" or "seed-weighted".
    reason_ : why, in one sentence.
    scores_ : name → mean log loss on the seeds, or minus the mean log likelihood of a
        held-out vote; less is better.
    model_ : the aggregator chosen, fitted.
    seed_proba_ : (s, k) its posterior on seeds it has not seen; None without.
    """

    learns_from_seeds = True

    def __init__(
        self, class_balance: ArrayLike | None = None, random_state: int = 0
    ) -> None:
        self.class_balance = class_balance
        self.random_state = random_state

    def _fit(self, patterns: Patterns, seeds: SeedVotes | None) -> None:
        self.seed_proba_: NDArray[np.float64] | None = None
        self.scores_: dict[str, float] = {}
        votes, counts = patterns.votes, patterns.counts
        majority = MajorityVote(class_balance=self.class_balance)
        shrunk = ShrunkDawidSkene(class_balance=self.class_balance)
        majority.fit(votes, sample_weight=counts)
        shrunk.fit(votes, sample_weight=counts)
        if seeds is not None and len(seeds.labels) >= _ENOUGH_SEEDS:
            self._judge_by_seeds(votes, counts, seeds, majority, shrunk)
        else:
            self._judge_by_votes(majority, shrunk)
        self.class_prior_ = self.model_.class_prior_

    def out_of_fold_proba(self, votes: Votes) -> NDArray[np.float64] | None:
        """Return posteriors on the seeds by what has not seen them, (s, k).

        Those by which the model was chosen, if these seeds were the judges.
        """
        fold = votes.seed_out_of_fold
        if self.seed_proba_ is not None or fold is None:
            return self.seed_proba_
        return self.predict_proba(fold)

    def _predict_proba(self, votes: Votes) -> NDArray[np.float64]:
        return self.model_.predict_proba(votes)

    def _judge_by_seeds(
        self,
        votes: Votes,
        counts: NDArray[np.float64],
        seeds: SeedVotes,
        majority: MajorityVote,
        shrunk: ShrunkDawidSkene,
    ) -> None:
        labels = seeds.labels
        weighted = SeedWeightedVote(class_balance=self.class_balance)
        known = replace(votes, seed_labels=labels, seed_out_of_fold=seeds.votes)
        found = {
            "majority-vote": majority.predict_proba(seeds.votes),
            "shrunk": shrunk.predict_proba(seeds.votes),
            "seed-weighted": weighted.out_of_fold_proba(known),
        }
        losses = {
            name: log_losses(cross_calibrated(proba, labels, self.random_state), labels)
            for name, proba in found.items()
            if proba is not None
        }
        self.scores_ = {name: float(loss.mean()) for name, loss in losses.items()}
        best = min(self.scores_, key=lambda name: self.scores_[name])
        # Weights learned on seeds are believed before those learned without any truth.
        if (
            best == "shrunk"
            and not _is_clear(losses["seed-weighted"] - losses[best])
            and _is_clear(losses["majority-vote"] - losses["seed-weighted"])
        ):
            best = "seed-weighted"
        judged = f"on {len(labels)} seeds, by functions that have not seen them"
        plain = f"{self.scores_['majority-vote']:.3f}"
        if _is_clear(losses["majority-vote"] - losses[best]):
            self.chosen_ = best
            self.reason_ = (
                f"its log loss is {self.scores_[best]:.3f}, that of the majority vote "
                f"{plain} ({judged})"
            )
        else:
            self.chosen_ = "majority-vote"
            self.reason_ = f"nothing beats its log loss of {plain} clearly ({judged})"
        self.seed_proba_ = found[self.chosen_]
        self.model_: Aggregator = majority
        if self.chosen_ == "shrunk":
            self.model_ = shrunk
        elif self.chosen_ == "seed-weighted":
            self.model_ = weighted.fit(known, sample_weight=counts)

    def _judge_by_votes(self, majority: MajorityVote, shrunk: ShrunkDawidSkene) -> None:
        self.model_, self.chosen_ = majority, "majority-vote"
        first, second = shrunk.half_fits_
        if len(shrunk.columns_) < 3 or not (
            len(first[0].counts) and len(second[0].counts)
        ):
            self.reason_ = "fewer than three functions vote: nothing tells who is right"
            return
        parts = [
            _foretold(shrunk, train, test)
            for train, test in ((first, second), (second, first))
        ]
        plain, learned, counts = (
            np.concatenate(column) for column in zip(*parts, strict=True)
        )
        n = counts.sum()
        lead = float(counts @ (learned - plain)) / n
        error = float(np.sqrt(counts @ (learned - plain - lead) ** 2)) / n
        self.scores_ = {
            "majority-vote": float(-(counts @ plain) / n),
            "shrunk": float(-(counts @ learned) / n),
        }
        of_votes = (
            f"log loss {self.scores_['shrunk']:.4f} per vote, the majority vote's "
            f"{self.scores_['majority-vote']:.4f}"
        )
        trusts_alike = shrunk.rung_ == "equal trust"
        if trusts_alike and (shrunk.powers_ == 1).all():
            self.reason_ = "no function is shown to deserve more trust than another"
        elif lead < -max(_ERRORS_ON_VOTES * error, _LEAST_LOSS):
            self.reason_ = (
                "the functions err together: labels of learned weights foretell other "
                f"votes worse ({of_votes})"
            )
        else:
            self.model_, self.chosen_ = shrunk, "shrunk"
            why = "functions differ in how far they can be trusted"
            if trusts_alike:
                why = "copies share one vote, and else functions count the same"
            self.reason_ = f"{why} ({of_votes}, on images not learned from)"


def _is_clear(lead: NDArray[np.float64]) -> bool:
    """Tell whether seeds show a lead in log loss, (s,), beyond chance."""
    error = float(lead.std() / np.sqrt(len(lead)))
    return bool(lead.mean() > _ERRORS_ON_SEEDS * error)


def _foretold(
    shrunk: ShrunkDawidSkene,
    train: tuple[Patterns, EMFit],
    test: tuple[Patterns, EMFit],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Score the majority vote and the model on held-out votes: two (u,), and counts."""
    fit = train[1]
    halves = _first(train[0]), _first(test[0])
    with np.errstate(divide="ignore"):
        log_prior = np.log(fit.prior)
    terms = [Evidence(half.votes).terms(fit.tables, shrunk.powers_) for half in halves]
    learned = predicted_votes(*halves, terms[0], terms[1], log_prior, shrunk.related_)
    shares = [vote_distributions(half.votes) for half in halves]
    flat = np.zeros_like(log_prior)
    plain = [
        predicted_votes(*halves, w * shares[0], w * shares[1], flat, shrunk.related_)
        for w in _WEIGHTS_OF_A_VOTE
    ]
    best = max(plain, key=lambda scores: float(halves[1].counts @ scores))
    return best, learned, halves[1].counts


def _first(half: Patterns) -> Patterns:
    """Return as many patterns as are enough to foretell votes: they lie by a hash."""
    rows = np.arange(min(len(half.counts), _ENOUGH_PATTERNS))
    return Patterns(half.votes.rows(rows), half.counts[rows], rows)
