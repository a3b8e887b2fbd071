"""The default: the model that such votes can tell, or a plain vote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from sklearn.base import clone

from lfkit.aggregators.aggregator import Aggregator, SeedVotes
from lfkit.aggregators.calibration import (
    cross_calibrated,
    fit_calibrator,
    log_losses,
    tempered,
)
from lfkit.aggregators.dawid_skene import DawidSkene, Shares, TablesLearned
from lfkit.aggregators.inference.agreement import spread_of_agreement
from lfkit.aggregators.inference.em import TIE_TOLERANCE
from lfkit.aggregators.inference.one_factor import excess_agreement
from lfkit.aggregators.inference.pattern_sample import priority_sample
from lfkit.aggregators.inference.vote_likelihood import VoteLikelihood
from lfkit.aggregators.inference.vote_structure import VoteStructure, find_structure
from lfkit.aggregators.seed_weighted import SeedWeightedVote
from lfkit.data.folds import FOLDS, deal_folds
from lfkit.data.votes import Patterns, Votes

# Seeds, with votes of functions fitted without them, that are enough to judge by.
_ENOUGH_SEEDS = 30
# Standard errors of a lead in log loss: chance alone shows as much in 5 % of cases.
_ERRORS_ON_SEEDS = 1.645
_ENOUGH_PATTERNS = 2**13
# How much more unlike images may be, in the agreement of their votes, than accuracies
# explain. Votes drawn with accuracies, on images of unlike difficulty: 1.0 to 1.5;
# people who take one class for another: 1.8 to 7.
_MOST_SPREAD = 1.5
# Labels of two classes that two explanations of the votes may give otherwise.
_MOST_DIFFERENT = 0.1

# Pairs of functions that agree so much more than their agreement with the others
# allows, and what share of all pairs: 0 in five sets of published votes, a tenth to a
# third where functions are prompts to two or three models.
_EXCESS, _MOST_TOGETHER = 0.15, 0.1

EQUAL = "equal-trust"


@dataclass(frozen=True)
class _Choice:
    """A size of `DawidSkene`, and why it fits such votes."""

    tables: TablesLearned
    shares: Shares
    reason: str
    dependencies: bool = True

    @property
    def name(self) -> str:
        return {
            "equal": EQUAL,
            "one-coin": "one-coin",
            "biased-coin": "biased-coin",
            "whole": "whole-tables",
        }[self.tables]


class Auto(Aggregator):
    """Chooses the model by what the votes are like, and by the seeds if there are any.

    What a label model may believe is told by the structure of the votes, not by their
    likelihood: likelier tables can be worse labels, since a hidden class may as well
    be a cluster of images on which functions fall silent, or err, together. So

    - where more than a third of the functions name one class each, or less than three
      name several: equal trust in all, a plain vote with ties decided by silence.
      Functions that confirm each other may be right, or alike; votes do not tell which.
    - where a tenth of the pairs of functions, in two groups or more, agree far more
      than their agreement with the others allows: equal trust, too, copies counted in
      full. Prompts to the same model confirm themselves.
    - where functions agree that classes are unlike frequent: class shares are learned,
      with an accuracy per function and errors that lean to classes as all functions
      do. If images are more unlike in the agreement of their votes than accuracies
      explain, some classes are taken for others, and whole tables are learned. With two
      classes, unlike shares and unlike errors look much the same: if whole tables
      disagree on more than a tenth of the labels, equal trust.
    - where they agree that classes are about equally frequent: whole tables, shrunk to
      the common one, and flat shares.
    - where that cannot be told: an accuracy per function, flat shares.

    A fit that cannot be right (see `DawidSkene`) is passed over. No silence is taken
    for evidence. Seeds are images of known class in every fit.

    With 30 seeds or more, and votes on them by functions fitted without them, equal
    trust is taken if they show it to be better than what the votes tell, and then
    `SeedWeightedVote` if it is better than what is chosen so far: if more seeds come
    out right, and the log loss of their classes is less beyond chance, at 5 %. (Where
    one seed in forty is wrong, hundreds are too few for accuracy alone to show
    anything; and a model can have the better log loss and the worse labels.) Each
    posterior is tempered first, by other seeds; `SeedWeightedVote` has learned from
    other seeds, and the other models from none.

    Attributes
    ----------
    chosen_ : "equal-trust", "one-coin", "biased-coin", "whole-tables" or
        "seed-weighted".
    reason_ : why, in one sentence.
    prior_source_ : how class shares were got: "given", "learned" or "flat".
    scores_ : name → mean log loss on the seeds; empty where these do not judge.
    model_ : the aggregator chosen, fitted.
    seed_proba_ : (s, k) its held-out posterior of the seeds, to calibrate it by;
        None without.
    judged_proba_ : (s, k) that of the model that the other seeds choose, to judge the
        choice, too; None without.
    """

    made_for = "any votes"
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
        choice = self._told_by_votes(patterns)
        model = self._fitted(choice, votes, counts)
        if model.fell_back_:
            choice = replace(choice, tables="equal", reason=model.fell_back_)
            model = self._fitted(choice, votes, counts)
        self._unaware, self.model_ = model, model  # of the seeds
        self.chosen_, self.reason_ = choice.name, choice.reason
        if seeds is not None and len(seeds.labels) >= _ENOUGH_SEEDS:
            self._judge_by_seeds(votes, counts, seeds, model)
        if seeds is not None and self.chosen_ != EQUAL:
            self.model_ = clone(self.model_)
            known = replace(
                votes, seed_labels=seeds.labels, seed_out_of_fold=seeds.votes
            )
            self.model_.fit(known, sample_weight=counts)
            if self.model_.fell_back_:
                self.model_ = self._unaware
        self.prior_source_ = getattr(self.model_, "prior_source_", "flat")
        self.class_prior_ = self.model_.class_prior_

    def out_of_fold_proba(
        self, votes: Votes, *, sample_weight: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64] | None:
        """Return held-out posteriors of the seeds, (s, k).

        Where seeds choose, each is labeled by the model that the others would choose;
        else by a model that knows none of them.
        """
        fold = votes.seed_out_of_fold
        if self.judged_proba_ is not None or fold is None:
            return self.judged_proba_
        # Where votes name some classes only, the fit is that of another object.
        fitted = self if self._within is None else self._within
        aware, fitted.model_ = fitted.model_, fitted._unaware
        try:
            return self.predict_proba(fold)
        finally:
            fitted.model_ = aware

    def _predict_proba(self, votes: Votes) -> NDArray[np.float64]:
        return self.model_.predict_proba(votes)

    def _model(self, choice: _Choice) -> DawidSkene:
        return DawidSkene(
            choice.tables,
            class_shares=choice.shares,
            dependencies=choice.dependencies,
            class_balance=self.class_balance,
            random_state=self.random_state,
        )

    def _fitted(
        self, choice: _Choice, votes: Votes, counts: NDArray[np.float64]
    ) -> DawidSkene:
        return self._model(choice).fit(votes, sample_weight=counts)

    def _told_by_votes(self, patterns: Patterns) -> _Choice:
        """Choose by the hard votes of some patterns; a set of classes is none here."""
        votes = patterns.votes
        if votes.soft is not None or votes.allowed is not None:
            votes = Votes(votes.hard, votes.names, votes.n_classes)
            patterns = votes.patterns(patterns.counts)
        sample = priority_sample(patterns, _ENOUGH_PATTERNS)
        structure = find_structure(VoteLikelihood(sample.votes), sample.counts)
        if not structure.has_tables:
            return _equal_trust(structure)
        together = _share_of_groups(sample)
        if together >= _MOST_TOGETHER:
            return _Choice(
                "equal",
                "flat",
                f"{100 * together:.0f} % of the pairs of functions agree far more than "
                "their agreement with the others allows: such groups confirm "
                "themselves, so all functions count the same",
                dependencies=False,  # nor do they tell who is whose copy
            )
        if structure.shares == "skewed":
            return self._told_by_skewed_votes(sample, structure)
        if structure.shares == "flat":
            choice = _Choice(
                "whole",
                "flat",
                "functions name several classes each, about equally often: each has a "
                "table, shrunk to that of all",
            )
            if _names_its_classes(self._fitted(choice, sample.votes, sample.counts)):
                return choice
        choice = _Choice(
            "one-coin",
            "flat",
            "functions name several classes each, but do not tell how frequent these "
            "are: each has one accuracy, and classes are taken for equally frequent",
        )
        if not self._fitted(choice, sample.votes, sample.counts).fell_back_:
            return choice
        return _wrong_fits()

    def _told_by_skewed_votes(
        self, sample: Patterns, structure: VoteStructure
    ) -> _Choice:
        unlike = "functions agree that some classes are more frequent than others"
        coin = _Choice(
            "biased-coin",
            "learned",
            f"{unlike}: shares are learned, each function has one accuracy, and errors "
            "lean to classes as those of all functions do",
        )
        model = self._fitted(coin, sample.votes, sample.counts)
        spread = spread_of_agreement(
            sample, model.confusions_, model.class_prior_, structure.names_several
        )
        whole = _Choice(
            "whole",
            "learned",
            f"{unlike}, and some are taken for others (images are {spread:.1f} times "
            "as unlike in how far their votes agree as accuracies explain): each "
            "function has a table, shrunk to that of all, and shares are learned",
        )
        if spread > _MOST_SPREAD:
            flat = replace(
                whole,
                shares="flat",
                reason="some classes are taken for others, and no shares of the "
                "classes explain the votes: each function has a table, shrunk to that "
                "of all",
            )
            if not self._fitted(whole, sample.votes, sample.counts).fell_back_:
                return whole
            if _names_its_classes(self._fitted(flat, sample.votes, sample.counts)):
                return flat
            return _wrong_fits()
        if model.fell_back_:
            # Errors that lean to a rare class were taken for images of another.
            if not _names_its_classes(self._fitted(whole, sample.votes, sample.counts)):
                return _wrong_fits()
            return replace(
                whole,
                reason=f"{unlike}: each function has a table, shrunk to that of all, "
                "and shares are learned (with an accuracy each, a class would vanish)",
            )
        if self.n_classes_ == 2:
            other = self._fitted(whole, sample.votes, sample.counts)
            labels, others = (
                m.predict_proba(sample.votes).argmax(axis=1) for m in (model, other)
            )
            voted = sample.counts * sample.votes.voted.any(axis=1)
            if voted @ (labels != others) > _MOST_DIFFERENT * voted.sum():
                return _Choice(
                    "equal",
                    "flat",
                    "votes do not tell whether one class is more frequent or more "
                    "often missed: all functions count the same",
                )
        return coin

    def _judge_by_seeds(
        self,
        votes: Votes,
        counts: NDArray[np.float64],
        seeds: SeedVotes,
        told: DawidSkene,
    ) -> None:
        labels = seeds.labels
        weighted = SeedWeightedVote(
            class_balance=self.class_balance, random_state=self.random_state
        )
        folds = deal_folds(labels, FOLDS, self.random_state)
        by_others = _by_other_folds(weighted, seeds, folds)
        plain = told
        if self.chosen_ != EQUAL:
            plain = self._fitted(_Choice("equal", "flat", ""), votes, counts)
        found = {
            EQUAL: plain.predict_proba(seeds.votes),
            self.chosen_: told.predict_proba(seeds.votes),
            "seed-weighted": by_others[folds, np.arange(len(labels))],
        }
        start, why = self.chosen_, self.reason_
        voted = np.asarray(seeds.votes.voted.any(axis=1))
        judges = _Judges(found, labels, voted, self.random_state)
        self.chosen_ = judges.choice(start)
        surer = fit_calibrator(found[self.chosen_], labels).temperature
        self.judged_proba_ = np.zeros_like(found[EQUAL])
        for fold in np.unique(folds):
            left = folds != fold
            known = found | {"seed-weighted": by_others[fold]}
            known = {name: proba[left] for name, proba in known.items()}
            of_fold = _Judges(known, labels[left], voted[left], self.random_state)
            chosen = of_fold.choice(start)
            # Models are not equally sure: each is made as sure as it is right, and
            # that as sure as the model that labels the images.
            own = fit_calibrator(known[chosen], labels[left])
            named = found[chosen].any(axis=0)  # 0 is not a small number elsewhere
            self.judged_proba_[np.ix_(~left, named)] = tempered(
                found[chosen][~left][:, named], own.temperature / surer, own.zero
            )
        self.reason_ = judges.reason(self.chosen_, start, why)
        self.scores_ = {name: float(x.mean()) for name, x in judges.losses.items()}
        self.seed_proba_ = found[self.chosen_]
        if self.chosen_ == "seed-weighted":
            self.model_ = weighted
        elif self.chosen_ == EQUAL:
            self.model_ = plain


def _names_its_classes(model: DawidSkene) -> bool:
    """Tell whether functions together mostly call each class by its name.

    Where they do not, and images are no more unlike than accuracies explain, a frequent
    class was taken for several: shares that are flat by force do that.
    """
    pooled = model.pooled_
    if model.fell_back_ or pooled is None:
        return not model.fell_back_
    return bool((pooled.argmax(axis=1) == np.arange(len(pooled))).all())


def _share_of_groups(sample: Patterns) -> float:
    """Give the share of pairs that agree more than one accuracy each explains.

    Functions that say the same everywhere are taken for one; 0 where all such pairs are
    of one group: those are the copies then, and the others can tell.
    """
    hard, counts = np.unique(sample.votes.hard, axis=1), sample.counts
    excess = excess_agreement(hard, counts, sample.votes.n_classes, counts.sum())
    dependent = np.triu(excess > _EXCESS, 1)
    if not dependent.any():
        return 0.0
    _, group = connected_components(sparse.csr_array(dependent), directed=False)
    if (np.bincount(group) > 1).sum() < 2:
        return 0.0
    return float(dependent.sum() / (len(excess) * (len(excess) - 1) / 2))


def _equal_trust(structure: VoteStructure) -> _Choice:
    n_one, n = structure.n_one_class, len(structure.named)
    if n_one:
        reason = (
            f"{n_one} of {n} functions vote for one class alone: votes do not tell "
            "whom to trust; ties go to the class whose functions are less silent"
        )
    else:
        reason = (
            "fewer than three functions name one class at a time: nothing tells who is "
            "right"
        )
    return _Choice("equal", "flat", reason)


def _wrong_fits() -> _Choice:
    return _Choice(
        "equal",
        "flat",
        "every learned model gives one class the images of another: all functions "
        "count the same",
    )


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
        chosen = EQUAL if self._is_better(EQUAL, start) else start
        if self._is_better("seed-weighted", chosen):
            chosen = "seed-weighted"
        return chosen

    def reason(self, chosen: str, start: str, why: str) -> str:
        """Say why it was chosen.

        Parameters
        ----------
        why : the votes speak for `start`.
        """
        judged = f"on {len(self.right[chosen])} held-out seeds"
        right = {name: f"{100 * x.mean():.1f} %" for name, x in self.right.items()}
        loss = {name: f"{x.mean():.3f}" for name, x in self.losses.items()}
        if chosen == EQUAL:
            return (
                f"nothing beats its {right[EQUAL]} right and its log loss of "
                f"{loss[EQUAL]} clearly ({judged})"
            )
        if chosen == start and not self._is_better(chosen, EQUAL):
            return f"{why}; seeds do not speak against it"
        return (
            f"it is right on {right[chosen]}, equal trust on {right[EQUAL]}; its log "
            f"loss is {loss[chosen]}, that of equal trust {loss[EQUAL]} ({judged})"
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
