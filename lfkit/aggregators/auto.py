"""The default: a plain vote, unless something better is shown to be better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from lfkit.aggregators.aggregator import Aggregator, SeedVotes
from lfkit.aggregators.calibration import cross_calibrated, log_losses
from lfkit.aggregators.inference.em import TIE_TOLERANCE, EMFit
from lfkit.aggregators.inference.held_out_votes import held_out_scores
from lfkit.aggregators.inference.vote_likelihood import (
    VoteLikelihood,
    vote_distributions,
)
from lfkit.aggregators.majority_vote import MajorityVote
from lfkit.aggregators.seed_weighted import SeedWeightedVote
from lfkit.aggregators.shrunk import ShrunkDawidSkene
from lfkit.data.folds import FOLDS, deal_folds
from lfkit.data.votes import Patterns, Votes

# Seeds, with votes of functions fitted without them, that are enough to judge by.
_ENOUGH_SEEDS = 30
# Standard errors of a lead in log loss: chance alone shows as much in 5 % of cases.
_ERRORS_ON_SEEDS = 1.645
# Standard errors that count as shown by votes: they are but a sign of the truth.
_ERRORS_ON_VOTES = 2.0
# Log loss per vote that learned labels may lose in predicting others. Where functions
# are right independently of each other they lost .004 and were still more often right;
# of real functions, which err together, they lose .01.
_LEAST_LOSS = 0.006
_ENOUGH_PATTERNS = 2000
# Log odds of one vote, for a plain vote to be scored as a posterior.
_WEIGHTS_OF_A_VOTE = (0.5, 1.0, 2.0, 4.0)


class Auto(Aggregator):
    """Chooses between a plain vote and models that learn, by evidence.

    Without seeds the judge is the likelihood of held-out votes. `ShrunkDawidSkene` is
    taken if it climbs above equal trust or finds copies, unless the functions err
    together: then the label that some functions give predicts the votes of others
    worse than that of the majority vote, by two standard errors and by .006 nats.

    With 30 seeds or more, and votes on them by functions fitted without them, what
    the votes show counts only if the seeds do not speak against it. Then
    `SeedWeightedVote` is taken, or `ShrunkDawidSkene`, in this order, if it is better
    than what is chosen so far, in both ways: more seeds come out right, and the log
    loss of their classes is less beyond chance, at 5 %. (Where one seed in forty is
    wrong, hundreds are too few for accuracy alone to show anything; and a model can
    have the better log loss and the worse labels.) Each posterior is tempered first, by
    other seeds; `SeedWeightedVote` has learned from other seeds.

    Attributes
    ----------
    chosen_ : "majority-vote", "shrunk" or "seed-weighted".
    reason_ : why, in one sentence.
    scores_ : name → mean log loss on the seeds, or minus the mean log likelihood of a
        held-out vote; less is better.
    model_ : the aggregator chosen, fitted.
    seed_proba_ : (s, k) its held-out posterior of the seeds, to calibrate it by;
        None without.
    judged_proba_ : (s, k) that of the model that the other seeds choose, to judge the
        choice, too; None without.
    """

    learns_from_seeds = True
    model_: Aggregator
    chosen_: str
    reason_: str

    def __init__(
        self, class_balance: ArrayLike | None = None, random_state: int = 0
    ) -> None:
        self.class_balance = class_balance
        self.random_state = random_state

    def _fit(self, patterns: Patterns, seeds: SeedVotes | None) -> None:
        self.seed_proba_: NDArray[np.float64] | None = None
        self.judged_proba_: NDArray[np.float64] | None = None
        self.scores_: dict[str, float] = {}
        votes, counts = patterns.votes, patterns.counts
        majority = MajorityVote(class_balance=self.class_balance)
        shrunk = ShrunkDawidSkene(
            class_balance=self.class_balance, random_state=self.random_state
        )
        majority.fit(votes, sample_weight=counts)
        shrunk.fit(votes, sample_weight=counts)
        self._judge_by_votes(majority, shrunk)
        if seeds is not None and len(seeds.labels) >= _ENOUGH_SEEDS:
            self._judge_by_seeds(votes, counts, seeds, majority, shrunk)
        self.class_prior_ = self.model_.class_prior_

    def out_of_fold_proba(self, votes: Votes) -> NDArray[np.float64] | None:
        """Return held-out posteriors of the seeds, (s, k).

        Where seeds choose, each is labeled by the model that the others would choose.
        """
        fold = votes.seed_out_of_fold
        if self.judged_proba_ is not None or fold is None:
            return self.judged_proba_
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
        weighted = SeedWeightedVote(
            class_balance=self.class_balance, random_state=self.random_state
        )
        folds = deal_folds(labels, FOLDS, self.random_state)
        by_others = _by_other_folds(weighted, seeds, folds)
        found = {
            "majority-vote": majority.predict_proba(seeds.votes),
            "shrunk": shrunk.predict_proba(seeds.votes),
            "seed-weighted": by_others[folds, np.arange(len(labels))],
        }
        start, why = self.chosen_, self.reason_
        voted = np.asarray(seeds.votes.voted.any(axis=1))
        self.judged_proba_ = np.empty_like(found["majority-vote"])
        for fold in np.unique(folds):
            left = folds != fold
            known = found | {"seed-weighted": by_others[fold]}
            known = {name: proba[left] for name, proba in known.items()}
            judges = _Judges(known, labels[left], voted[left], self.random_state)
            chosen = judges.choice(start)
            self.judged_proba_[~left] = found[chosen][~left]
        judges = _Judges(found, labels, voted, self.random_state)
        self.chosen_ = judges.choice(start)
        self.reason_ = judges.reason(self.chosen_, start, why)
        self.scores_ = {name: float(x.mean()) for name, x in judges.losses.items()}
        self.seed_proba_ = found[self.chosen_]
        self.model_ = majority
        if self.chosen_ == "shrunk":
            self.model_ = shrunk
        elif self.chosen_ == "seed-weighted":
            known_votes = replace(
                votes, seed_labels=labels, seed_out_of_fold=seeds.votes
            )
            self.model_ = weighted.fit(known_votes, sample_weight=counts)

    def _judge_by_votes(self, majority: MajorityVote, shrunk: ShrunkDawidSkene) -> None:
        self.model_ = majority
        self.chosen_ = "majority-vote"
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
                "the functions err together: the learned model predicts held-out "
                f"votes worse ({of_votes})"
            )
        else:
            self.model_, self.chosen_ = shrunk, "shrunk"
            why = "functions differ in how far they can be trusted"
            if trusts_alike:
                why = "copies share one vote, and else functions count the same"
            self.reason_ = f"{why} ({of_votes}, on images not learned from)"


class _Judges:
    """Models compared on held-out seeds.

    Attributes
    ----------
    right : name → (s,) True where the seed comes out right: never on a tie or without
        a vote.
    losses : name → (s,) log loss of its class, tempered by other seeds.
    """

    def __init__(
        self,
        proba: Mapping[str, NDArray[np.float64]],
        labels: NDArray[np.int64],
        voted: NDArray[np.bool_],
        random_state: int,
    ) -> None:
        self.right, self.losses = {}, {}
        for name, posterior in proba.items():
            best = posterior >= posterior.max(axis=1, keepdims=True) - TIE_TOLERANCE
            clear = (best.sum(axis=1) == 1) & voted
            self.right[name] = clear & best[np.arange(len(labels)), labels]
            tempered = cross_calibrated(posterior, labels, random_state)
            self.losses[name] = log_losses(tempered, labels)

    def choice(self, start: str) -> str:
        """Choose a model.

        Parameters
        ----------
        start : what the votes speak for.
        """
        chosen = start if self._agree_with(start) else "majority-vote"
        for name in ("seed-weighted", "shrunk"):
            if self._is_better(name, chosen):
                chosen = name
        return chosen

    def reason(self, chosen: str, start: str, why: str) -> str:
        """Say why it was chosen.

        Parameters
        ----------
        why : the votes speak for `start`.
        """
        n = len(self.right[chosen])
        judged = f"on {n} held-out seeds"
        right = {name: f"{100 * x.mean():.1f} %" for name, x in self.right.items()}
        loss = {name: f"{x.mean():.3f}" for name, x in self.losses.items()}
        plain = "majority-vote"
        if chosen == plain:
            return (
                f"nothing beats its {right[plain]} right and its log loss of "
                f"{loss[plain]} clearly ({judged})"
            )
        if chosen == start and not self._is_better(chosen, plain):
            return f"{why}; seeds do not speak against it"
        return (
            f"it is right on {right[chosen]}, the majority vote on {right[plain]}; its "
            f"log loss is {loss[chosen]}, that of the majority vote {loss[plain]} "
            f"({judged})"
        )

    def _agree_with(self, name: str) -> bool:
        right, loss = self.right[name], self.losses[name]
        plain = "majority-vote"
        return bool(
            right.sum() >= self.right[plain].sum()
            and loss.sum() <= self.losses[plain].sum()
        )

    def _is_better(self, name: str, other: str) -> bool:
        """Tell whether one has more right, and the lesser log loss beyond chance."""
        lead = self.losses[other] - self.losses[name]
        error = float(lead.std() / np.sqrt(len(lead)))
        more_right = self.right[name].sum() > self.right[other].sum()
        return bool(more_right and lead.mean() > _ERRORS_ON_SEEDS * error)


def _by_other_folds(
    model: SeedWeightedVote, seeds: SeedVotes, folds: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Give [f, i] the posterior of seed i by seeds in neither f nor its own fold.

    Returns
    -------
    (folds, s, k)
    """
    votes, labels = seeds.votes, seeds.labels
    found = np.empty((FOLDS, len(labels), votes.n_classes))
    for first, second in combinations_with_replacement(range(FOLDS), 2):
        left_out = (folds == first) | (folds == second)
        train, test = np.flatnonzero(~left_out), np.flatnonzero(left_out)
        known = replace(
            votes, seed_labels=labels[train], seed_out_of_fold=votes.rows(train)
        )
        proba = clone(model).fit(known).predict_proba(votes.rows(test))
        for one, other in ((first, second), (second, first)):
            found[one, test[folds[test] == other]] = proba[folds[test] == other]
    return found


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
    terms = [
        VoteLikelihood(half.votes).terms(fit.tables, shrunk.powers_) for half in halves
    ]
    learned = held_out_scores(*halves, terms[0], terms[1], log_prior, shrunk.related_)
    shares = [vote_distributions(half.votes) for half in halves]
    flat = np.zeros_like(log_prior)
    plain = [
        held_out_scores(*halves, w * shares[0], w * shares[1], flat, shrunk.related_)
        for w in _WEIGHTS_OF_A_VOTE
    ]
    best = max(plain, key=lambda scores: float(halves[1].counts @ scores))
    return best, learned, halves[1].counts


def _first(half: Patterns) -> Patterns:
    """Return as many patterns as are enough to predict votes: they lie by a hash."""
    rows = np.arange(min(len(half.counts), _ENOUGH_PATTERNS))
    return Patterns(half.votes.rows(rows), half.counts[rows], rows)
