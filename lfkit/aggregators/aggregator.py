"""What aggregators have in common: checks, vote patterns, posteriors to labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from lfkit.aggregators.inference.degenerate import find_degeneracy
from lfkit.aggregators.inference.dependencies import find_dependencies
from lfkit.aggregators.inference.em import TIE_TOLERANCE
from lfkit.aggregators.inference.equal_trust import EqualTrust, fit_equal_trust
from lfkit.aggregators.inference.one_thread import one_thread
from lfkit.aggregators.inference.pattern_sample import priority_sample
from lfkit.aggregators.inference.vote_likelihood import (
    VoteLikelihood,
    row_chunks,
    vote_distributions,
)
from lfkit.aggregators.inference.vote_structure import VoteStructure, find_structure
from lfkit.data.folds import FOLDS, deal_folds
from lfkit.data.votes import ABSTAIN, Patterns, Votes, merge_patterns
from lfkit.errors import InputError, VotesError

TieBreakPolicy = Literal["abstain", "random", "first"]

# Vote patterns that are enough to see whether a fit can be right.
_ENOUGH_PATTERNS = 2**11


@dataclass(frozen=True, eq=False)
class SeedVotes:
    """What is known of the functions' accuracy: votes on held-out seeds.

    Attributes
    ----------
    votes : (s, m') out-of-fold votes of the functions kept, sorted by name.
    labels : (s,) the seeds' classes.
    """

    votes: Votes
    labels: NDArray[np.int64]


class Aggregator(BaseEstimator, ABC):
    """Turns the votes on an image into a distribution over its classes.

    A member writes `_fit` and `_predict_proba`. Both see distinct vote patterns, in a
    canonical order of the functions (by name), so the order of the functions never
    changes an answer. `_fit` also gets the seeds, if the votes have any: the one place
    where labels come in. A function that never votes on the images fitted is dropped
    before the fit; if it votes later, it is not heard.

    Where functions were fitted on seeds, their own votes there are not read: the
    out-of-fold votes stand in their place, or nothing where there are none.

    A class that no vote names, and to which no `class_balance` gives a share, has no
    probability; if no seed names it either, the fit is that without the class. Images
    whose votes name such a class later are labeled by a plain vote.

    Parameters
    ----------
    class_balance : (k,) shares of the classes, if known; None: the member's docstring
        says what it does instead.
    random_state : seed of the "random" tie-break policy, and of the folds of members
        that learn from the seeds.

    Attributes
    ----------
    class_prior_ : (k,) what an image without votes is taken for, or the prior learned.
    names_ : the m functions of the votes fitted, in their order.
    n_classes_ : k.
    columns_ : (m',) the functions kept, as positions in `names_`, sorted by name.
    classes_ : (k',) the classes that votes, seeds or `class_balance` name.
    warnings_ : sentences on votes that the member is not made for.
    fell_back_ : why the fit cannot be right, and a plain vote stands in its place; or
        "". Only for members that learn from the votes themselves who is right.
    """

    made_for: ClassVar[str] = "any votes"
    learns_from_seeds: ClassVar[bool] = False
    can_degenerate: ClassVar[bool] = False
    class_balance: ArrayLike | None
    random_state: int
    class_prior_: NDArray[np.float64]

    def fit(
        self, votes: Votes, *, sample_weight: NDArray[np.float64] | None = None
    ) -> Self:
        """Learn from votes, and from the seeds' out-of-fold votes if they have any.

        Parameters
        ----------
        sample_weight : (n,) how often each image counts; None counts each once.
        """
        self._seen: Patterns | None = None
        self._fit_patterns(votes, sample_weight)
        return self

    def partial_fit(
        self, votes: Votes, *, sample_weight: NDArray[np.float64] | None = None
    ) -> Self:
        """Learn from more images: the same as one fit of all those given so far.

        What is kept of earlier images is their vote patterns and how many share each.
        Seeds are those of the last votes that have some.
        """
        self._check_votes(votes, "partial_fit")
        weight = _checked_weight(sample_weight, len(votes))
        honest, weight = _unseen(votes, weight)
        used = np.flatnonzero(weight > 0)
        patterns = honest.rows(used).patterns(weight[used])
        seen = getattr(self, "_seen", None)
        if seen is not None:
            patterns = merge_patterns([seen, patterns])
        if votes.seed_rows is not None:
            self._given = votes.seed_labels, votes.seed_out_of_fold
        labels, fold = getattr(self, "_given", (None, None))
        known = replace(patterns.votes, seed_labels=labels, seed_out_of_fold=fold)
        self._fit_patterns(known, patterns.counts)
        self._seen = replace(patterns, inverse=np.zeros(0, np.int64))
        return self

    def fit_predict_proba(self, votes: Votes) -> NDArray[np.float64]:
        """Fit, and return the distributions of the same images, (n, k)."""
        patterns = self._fit_patterns(votes, None)
        if votes.seed_rows is not None:  # other votes were fitted there
            return self.predict_proba(votes)
        return self._posterior(patterns)[patterns.inverse]

    def _fit_patterns(
        self, votes: Votes, sample_weight: NDArray[np.float64] | None
    ) -> Patterns:
        self._check_votes(votes, "fit")
        weight = _checked_weight(sample_weight, len(votes))
        if not weight.any():
            raise VotesError(
                f"{type(self).__name__} needs at least one image to fit, got "
                f"{len(votes)} images with a total weight of 0."
            )
        self._check_parameters()
        prior = self.checked_balance(votes.n_classes)
        honest, weight = _unseen(votes, weight)
        heard = self._heard(honest)
        voting = np.flatnonzero(heard.voted[weight > 0].any(axis=0))
        self.names_ = votes.names
        self.n_classes_ = votes.n_classes
        self.columns_ = voting[np.argsort([votes.names[j] for j in voting])]
        self.class_prior_ = prior
        patterns = self._arranged(heard).patterns(weight)
        seeds = self._seed_votes(votes)
        used = _with_weight(patterns)
        possible = _named(used.votes) | (prior > 0 if self._knows_balance else False)
        self._ruled_out = ~possible & possible.any()
        if seeds is not None:
            possible[seeds.labels] = True
        self.classes_ = np.flatnonzero(possible)
        self._within: Self | None = None
        with one_thread:
            if 0 < len(self.classes_) < votes.n_classes:
                self._fit_within(used, seeds)
            else:
                self.classes_ = np.arange(votes.n_classes)
                self._fit(used, seeds)
            self._doubt(used)
        return patterns

    def _doubt(self, patterns: Patterns) -> None:
        """Look for votes that the member is not made for, and fits that are wrong."""
        self.warnings_: tuple[str, ...] = ()
        self.fell_back_ = ""
        self._fallback: EqualTrust | None = None
        if not self.can_degenerate:
            return
        sample = priority_sample(patterns, _ENOUGH_PATTERNS)
        structure = find_structure(VoteLikelihood(sample.votes), sample.counts)
        unsuited = self._unsuited(structure)
        within, known = self, sample
        if self._within is not None:
            within = self._within
            known = replace(sample, votes=sample.votes.of_classes(self.classes_))
        self.fell_back_ = within._degenerate(known, None)
        if self.fell_back_:  # a vote in which copies count in full may be wrong instead
            strengths = find_dependencies(patterns).matrix()
            if strengths.any():
                self.fell_back_ = within._degenerate(known, strengths)
        if self.fell_back_:
            prior = self.checked_balance(self.n_classes_)
            self._fallback = fit_equal_trust(sample, structure, strengths, prior)
            unsuited = (
                f"the fit cannot be right: {self.fell_back_}; a plain vote is taken"
            )
        self.warnings_ = (f"{type(self).__name__}: {unsuited}",) if unsuited else ()

    def _unsuited(self, structure: VoteStructure) -> str:
        """Say why these are not the votes the member is made for; or ""."""
        n_one, n = structure.n_one_class, len(structure.named)
        if n_one <= n / 2:
            return ""
        return (
            f"{n_one} of {n} functions name one class each; it reads their silence as "
            "evidence, which holds only if each falls silent independently of the "
            "others"
        )

    def _degenerate(
        self, sample: Patterns, strengths: NDArray[np.float64] | None
    ) -> str:
        """Say why the fit cannot be right; or "".

        Parameters
        ----------
        strengths : (m', m') how strongly functions depend on each other; None: not.
        """
        proba = self._predict_proba(sample.votes)
        return find_degeneracy(proba, sample.votes, sample.counts, strengths)

    @property
    def _knows_balance(self) -> bool:
        return self.class_balance is not None

    def _fit_within(self, patterns: Patterns, seeds: SeedVotes | None) -> None:
        """Fit as if there were only the classes that something names."""
        k, kept = self.n_classes_, self.classes_
        within = clone(self)
        prior = self.class_prior_[kept] / self.class_prior_[kept].sum()
        within.class_balance = prior if self._knows_balance else None
        within.names_, within.columns_ = self.names_, self.columns_
        within.n_classes_, within.class_prior_ = len(kept), prior
        if seeds is not None:
            labels = np.searchsorted(kept, seeds.labels)
            seeds = SeedVotes(seeds.votes.of_classes(kept), labels)
        within._fit(replace(patterns, votes=patterns.votes.of_classes(kept)), seeds)
        own = ("names_", "columns_", "n_classes_", "classes_")
        learned = {
            name: value
            for name, value in vars(within).items()
            if name.endswith("_") and name not in own
        }
        for name, value in learned.items():
            if name.endswith("_proba_") and value is not None:  # (s, k') of seeds
                whole = np.zeros((len(value), k))
                whole[:, kept] = value
                value = whole
            setattr(self, name, value)
        self.class_prior_ = np.zeros(k)
        self.class_prior_[kept] = within.class_prior_
        if "confusions_" in learned:
            tables = np.zeros((len(self.names_), k, k + 1))
            tables[:, :, k] = 1
            symbols = np.append(kept, k)
            tables[:, kept[:, None], symbols] = learned["confusions_"]
            self.confusions_ = tables
        self._within = within

    def _seed_votes(self, votes: Votes) -> SeedVotes | None:
        fold, labels = votes.seed_out_of_fold, votes.seed_labels
        if fold is None or labels is None or not len(labels):
            return None
        return SeedVotes(self._arranged(self._heard(fold)), np.asarray(labels))

    def predict_proba(self, votes: Votes) -> NDArray[np.float64]:
        """Return the distribution over classes of each image, (n, k)."""
        patterns = self._patterns(votes, "predict_proba")
        return self._posterior(patterns)[patterns.inverse]

    def predict(
        self, votes: Votes, tie_break_policy: TieBreakPolicy = "abstain"
    ) -> NDArray[np.int64]:
        """Return the most probable class of each image, (n,).

        Parameters
        ----------
        tie_break_policy : what to do where several classes are equally probable.
            "abstain": -1, and -1 too where no function voted, even if the posterior
            there is not flat (`predict_proba` has it).
            "random": images with equal votes are dealt to the tied classes in turn,
            starting with one drawn from `random_state` and the votes. Other images
            and their order have no influence.
            "first": the tied class with the lowest number.
        """
        if tie_break_policy not in get_args(TieBreakPolicy):
            raise InputError(
                f"tie_break_policy must be 'abstain', 'random' or 'first', got "
                f"{tie_break_policy!r}."
            )
        patterns = self._patterns(votes, "predict")
        proba = self._posterior(patterns)
        best = proba >= proba.max(axis=1, keepdims=True) - TIE_TOLERANCE
        first = best.argmax(axis=1)
        if tie_break_policy == "first":
            return first[patterns.inverse]
        if tie_break_policy == "random":
            return _dealt(best, patterns, self.random_state)
        return clear_winners(proba, patterns.votes)[patterns.inverse]

    def out_of_fold_proba(
        self, votes: Votes, *, sample_weight: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64] | None:
        """Return held-out posteriors of the seeds, (s, k).

        The votes are those of functions refitted without the seed; a model that learns
        from the seeds is refitted too, fold by fold. Unlike `predict_proba` on the
        seeds these say how good the model is. None without such votes.

        Parameters
        ----------
        sample_weight : (n,) as it was fitted with.
        """
        fold, labels = votes.seed_out_of_fold, votes.seed_labels
        if fold is None or labels is None or not len(labels):
            return None
        if not self.learns_from_seeds:
            return self.predict_proba(fold)
        proba = np.zeros((len(labels), votes.n_classes))
        folds = deal_folds(np.asarray(labels), FOLDS, self.random_state)
        unlabeled, weight = fold, None
        if self.can_degenerate:  # it learns from all votes, not from the seeds' alone
            weight = _checked_weight(sample_weight, len(votes))
            unlabeled, weight = _unseen(votes, weight)
        unlabeled = replace(unlabeled, seed_rows=None)
        for part in np.unique(folds):
            train, test = np.flatnonzero(folds != part), np.flatnonzero(folds == part)
            known = replace(
                unlabeled, seed_labels=labels[train], seed_out_of_fold=fold.rows(train)
            )
            model = clone(self).fit(known, sample_weight=weight)
            proba[test] = model.predict_proba(fold.rows(test))
        return proba

    @abstractmethod
    def _fit(self, patterns: Patterns, seeds: SeedVotes | None) -> None: ...

    @abstractmethod
    def _predict_proba(self, votes: Votes) -> NDArray[np.float64]: ...

    def _check_parameters(self) -> None:
        """Check the member's own parameters; called first, by every fit."""

    def _heard(self, votes: Votes) -> Votes:
        """Return the part of the votes this member reads: all of it, unless it says."""
        return votes

    def _posterior(self, patterns: Patterns) -> NDArray[np.float64]:
        votes, within = patterns.votes, self._within
        with one_thread:
            if self._fallback is not None:
                proba = self._fallback.posterior(votes)
            elif within is None:
                proba = self._predict_proba(votes)
            else:
                proba = np.zeros((len(votes), votes.n_classes))
                known = votes.of_classes(self.classes_)
                proba[:, self.classes_] = within._predict_proba(known)
        out = self._ruled_out
        if not out.any():
            return proba
        proba[:, out] = 0
        proba[~proba.any(axis=1)] = np.where(out, 0, self.class_prior_)
        proba /= proba.sum(axis=1, keepdims=True)
        said = _shares(votes)
        strange = said[:, out].any(axis=1)
        proba[strange] = said[strange]
        return proba

    def _patterns(self, votes: Votes, method: str) -> Patterns:
        check_is_fitted(self)
        self._check_votes(votes, method)
        if votes.n_classes != self.n_classes_:
            raise VotesError(
                f"{type(self).__name__} was fitted with {self.n_classes_} classes; "
                f"these votes have {votes.n_classes}."
            )
        if votes.names != self.names_ and set(votes.names) != set(self.names_):
            missing = sorted(set(self.names_) - set(votes.names))
            new = sorted(set(votes.names) - set(self.names_))
            raise VotesError(
                f"{type(self).__name__} was fitted on other labeling functions: "
                f"missing {missing}, not seen before {new}. Fit it on these votes."
            )
        return self._arranged(self._heard(votes)).patterns()

    def _arranged(self, votes: Votes) -> Votes:
        """Return the kept functions, sorted by name."""
        position = {name: j for j, name in enumerate(votes.names)}
        columns = [position[self.names_[j]] for j in self.columns_]
        # A copy of the soft votes on a million images is a gigabyte.
        if columns == list(range(votes.n_functions)):
            return votes
        return votes.select(columns)

    def _check_votes(self, votes: Votes, method: str) -> None:
        if not isinstance(votes, Votes):
            raise VotesError(
                f"{type(self).__name__}.{method} needs Votes, got "
                f"{type(votes).__name__}; make them with Votes(matrix, names=..., "
                "n_classes=...)."
            )

    def checked_balance(self, n_classes: int) -> NDArray[np.float64]:
        """Give `class_balance`, or the uniform one: (k,), summing to 1."""
        if self.class_balance is None:
            return np.full(n_classes, 1 / n_classes)
        prior = np.asarray(self.class_balance, dtype=np.float64)
        if prior.shape != (n_classes,):
            raise InputError(
                f"class_balance has shape {prior.shape}, expected one share for each "
                f"of the {n_classes} classes."
            )
        # Written so that NaN fails too.
        if not (prior.min() >= 0 and abs(prior.sum() - 1) < 1e-6):
            raise InputError(
                f"class_balance must be shares that sum to 1, got {prior.tolist()}."
            )
        return prior / prior.sum()


def _with_weight(patterns: Patterns) -> Patterns:
    """Leave out patterns that no image counts for: fits see only what counts."""
    used = np.flatnonzero(patterns.counts > 0)
    if len(used) == len(patterns.counts):
        return patterns
    return Patterns(
        patterns.votes.rows(used), patterns.counts[used], np.zeros(0, np.int64)
    )


def _unseen(
    votes: Votes, weight: NDArray[np.float64]
) -> tuple[Votes, NDArray[np.float64]]:
    """Put out-of-fold votes in the place of those by functions fitted on the seeds.

    Who has learned a label votes for it, and would be believed everywhere for that.
    Without out-of-fold votes the seeds do not count, unless there is nothing else.
    """
    rows, fold = votes.seed_rows, votes.seed_out_of_fold
    if rows is None or not len(rows):
        return votes, weight
    if fold is None:
        others = weight.copy()
        others[rows] = 0
        return votes, others if others.any() else weight
    return votes.replaced(rows, fold), weight


def _named(votes: Votes) -> NDArray[np.bool_]:
    """Tell which classes any vote names, (k,)."""
    k = votes.n_classes
    found = np.zeros(k, bool)
    for rows in row_chunks(votes):  # numbers as bincount needs them take 160 MB
        symbols = votes.hard[rows].ravel() + 1
        found |= np.bincount(symbols, minlength=k + 1)[1:] > 0
    for graded in (votes.soft, votes.allowed):
        if graded is not None and not found.all():
            found |= graded.any(axis=(0, 1))
    return found


def _shares(votes: Votes) -> NDArray[np.float64]:
    """Return the mean of the votes on each image, (n, k); zeros without any."""
    found = np.zeros((len(votes), votes.n_classes))
    for rows in row_chunks(votes):
        found[rows] = vote_distributions(votes.rows(rows)).sum(axis=1)
    total = found.sum(axis=1, keepdims=True)
    return np.divide(found, total, out=found, where=total > 0)


def clear_winners(proba: NDArray[np.float64], votes: Votes) -> NDArray[np.int64]:
    """Return the most probable class, (n,); -1 on a tie or without any vote."""
    best = proba >= proba.max(axis=1, keepdims=True) - TIE_TOLERANCE
    clear = (best.sum(axis=1) == 1) & votes.voted.any(axis=1)
    return np.where(clear, best.argmax(axis=1), ABSTAIN)


def _checked_weight(
    sample_weight: NDArray[np.float64] | None, n_images: int
) -> NDArray[np.float64]:
    if sample_weight is None:
        return np.ones(n_images)
    weight = np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != (n_images,):
        raise InputError(
            f"sample_weight has shape {weight.shape}, expected one weight for each of "
            f"the {n_images} images."
        )
    wrong = ~(np.isfinite(weight) & (weight >= 0))
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"sample_weight of image {row} is {weight[row]}; weights must be finite "
            "and not negative."
        )
    return weight


def _dealt(
    best: NDArray[np.bool_], patterns: Patterns, random_state: int
) -> NDArray[np.int64]:
    """Deal the images of each pattern to its tied classes in turn."""
    # One label for all equal images would put every image without votes in one class.
    n_tied = best.sum(axis=1)
    tied_first = np.argsort(~best, axis=1, kind="stable")
    start = _drawn_from_votes(patterns.votes, random_state) % n_tied.astype(np.uint64)
    order = np.argsort(patterns.inverse, kind="stable")
    n_images = np.bincount(patterns.inverse, minlength=len(best))
    first_place = np.repeat(np.cumsum(n_images) - n_images, n_images)
    turn = np.empty(len(order), dtype=np.int64)
    turn[order] = np.arange(len(order)) - first_place
    pattern = patterns.inverse
    place = (start.astype(np.int64)[pattern] + turn) % n_tied[pattern]
    return tied_first[pattern, place]


def _drawn_from_votes(votes: Votes, random_state: int) -> NDArray[np.uint64]:
    """Return a number per row that depends on its hard votes and the seed only."""
    factors = np.random.default_rng(random_state).integers(
        2**64, size=votes.n_functions + 1, dtype=np.uint64
    )
    symbols = (votes.hard + 1).astype(np.uint64)
    # The high half of a multiply-and-add hash (mod 2^64) is the well mixed one.
    return (symbols @ factors[1:] + factors[0]) >> np.uint64(33)
