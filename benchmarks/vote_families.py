"""Votes that are harder than independent ones: difficulty, lookalikes, shared errors.

Images differ in how hard they are, and each has a class that it is taken for. Functions
fall silent and err on the hard ones, so that neither is independent of the others
given the class.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np

from benchmarks.vote_sets import VoteSet, class_prior, drawn, named
from lfkit import ABSTAIN

_SIZES = (100, 1_000, 10_000)
_SHARES = ("flat", "4:1", "90/10")
_N_PEOPLE, _N_WIDE = 40, 4
_VOTES_PER_IMAGE = 1.5  # of functions that name one class


@dataclass(frozen=True)
class _Images:
    """Images that votes are drawn for.

    Attributes
    ----------
    truth, lookalike : (n,) the class, and another that it is taken for.
    hardness : (n,) from 0 to 1.
    """

    k: int
    truth: np.ndarray
    lookalike: np.ndarray
    hardness: np.ndarray

    def __len__(self):
        return len(self.truth)


def one_class(rng, n, k, shares, alike):
    """Functions name one class each: few votes, silence where an image is hard.

    Parameters
    ----------
    alike : the share of images on which functions of a class err and fall silent
        together.
    """
    images = _images(rng, n, k, shares)
    labels = np.arange(max(8, 3 * k)) % k
    votes = _one_class_votes(rng, images, labels, alike)
    left_out = rng.random(votes.shape) > _VOTES_PER_IMAGE * n / (votes != ABSTAIN).sum()
    return _found(np.where(left_out, ABSTAIN, votes), images)


def many_class(rng, n, k, shares, m, alike):
    """Functions name any class, with errors towards lookalikes and a bias each."""
    images = _images(rng, n, k, shares)
    return _found(_many_class_votes(rng, images, m, alike), images)


def mixed(rng, n, k, shares, alike):
    """Four functions name any class; two for each class name that one."""
    images = _images(rng, n, k, shares)
    wide = _many_class_votes(rng, images, _N_WIDE, alike)
    narrow = _one_class_votes(rng, images, np.arange(2 * k) % k, 0.0)
    return _found(np.concatenate([wide, narrow], axis=1), images)


def crowd(rng, n, k, shares, per_image):
    """Forty people, some of whom label far more than others; a few on each image."""
    images = _images(rng, n, k, shares)
    votes = _many_class_votes(rng, images, _N_PEOPLE, 0.0, coverage=1.0)
    return _found(_seen_by_some(rng, votes, per_image, rng.exponential(1, 40)), images)


def misses_one(rng, n, k, per_image, worst):
    """Thirty people who are the worse the later the class: .9 down to `worst`.

    Half of their errors name the first class, the others any.
    """
    images = _images(rng, n, k, "flat")
    truth = images.truth
    votes = np.empty((n, 30), np.int64)
    for column in votes.T:
        mean = np.linspace(0.9, worst, k)
        accuracy = np.clip(mean + rng.normal(0, 0.1, k), 0.1, 0.98)
        wrong = (truth + rng.integers(1, k, n)) % k
        wrong = np.where((rng.random(n) < 0.5) & (truth > 0), 0, wrong)
        column[:] = np.where(rng.random(n) < accuracy[truth], truth, wrong)
    return _found(_seen_by_some(rng, votes, per_image), images)


def half_miss_one(rng, n=108, m=39):
    """Two classes; all people know the first, and half of them hardly the second."""
    truth = rng.choice(2, p=(0.55, 0.45), size=n)
    knows = np.stack([rng.uniform(0.75, 0.98, m), rng.beta(2, 1.7, m)])
    right = rng.random((n, m)) < knows[truth]
    votes = np.where(right, truth[:, None], 1 - truth[:, None])
    return VoteSet(named(votes, 2), truth)


def overuse_one(rng, n=600, m=30, k=4, per_image=9):
    """Equally frequent classes, of which all people name the first too often."""
    truth = rng.integers(k, size=n)
    common = 0.5 * np.eye(k) + 0.1
    common[:, 0] += 0.25
    common /= common.sum(axis=1, keepdims=True)
    people = [np.stack([rng.dirichlet(8 * row) for row in common]) for _ in range(m)]
    votes = np.stack([drawn(rng, table[truth]) for table in people], axis=1)
    return VoteSet(named(_seen_by_some(rng, votes, per_image), k), truth)


def _images(rng, n, k, shares):
    """Draw images; "4:1": shares fall evenly, from the first to a quarter of it."""
    prior = class_prior(k, "90/10" if shares == "90/10" else "balanced")
    if shares == "4:1":
        prior = np.geomspace(4, 1, k) / np.geomspace(4, 1, k).sum()
    truth = rng.choice(k, p=prior, size=n)
    taken_for = rng.dirichlet(np.full(k, 0.5), size=k) * (1 - np.eye(k)) + 1e-9
    taken_for /= taken_for.sum(axis=1, keepdims=True)
    return _Images(k, truth, drawn(rng, taken_for[truth]), rng.random(n))


def _one_class_votes(rng, images, labels, alike):
    """Vote as functions that name one class each, (n, m)."""
    of_class = rng.random((images.k, len(images)))
    votes = [
        _one_class_vote(rng, images, label, _chance(rng, of_class[label], alike))
        for label in labels
    ]
    return np.stack(votes, axis=1)


def _one_class_vote(rng, images, label, chance):
    """Vote for one class or abstain, right in 50 to 95 % of the votes, (n,)."""
    recall, precision = rng.uniform(0.3, 1), rng.uniform(0.5, 0.95)
    is_it, hardness = images.truth == label, images.hardness
    hits = np.where(is_it, recall * (1 - 0.8 * hardness), 0)
    looks = np.where(images.lookalike == label, hardness, 0.15 * hardness)
    alarms = np.where(is_it, 0, looks)
    wanted = hits.sum() * (1 - precision) / precision
    least = 1e-9  # where there is no image of another class
    alarms *= min(1 / max(alarms.max(), least), wanted / max(alarms.sum(), least))
    return np.where(chance < hits + alarms, label, ABSTAIN)


def _many_class_votes(rng, images, m, alike, coverage=0.6):
    """Vote for any class, on hard images less often and less right, (n, m)."""
    n, k, truth = len(images), images.k, images.truth
    shared = rng.random(n)
    votes = np.empty((n, m), np.int64)
    for column in votes.T:
        accuracy, bias = rng.uniform(0.35, 0.9), rng.dirichlet(np.full(k, 2.0))
        spoken = coverage * rng.uniform(0.5, 1, k)[truth]
        spoken *= (1 - 0.6 * images.hardness) / 0.7  # .7: its mean
        is_right = np.clip(accuracy * (1.5 - images.hardness), 1 / k, 0.99)
        biased = rng.choice(k, p=bias, size=n)
        wrong = np.where(rng.random(n) < 0.6, images.lookalike, biased)
        vote = np.where(_chance(rng, shared, alike) < is_right, truth, wrong)
        column[:] = np.where(rng.random(n) < spoken, vote, ABSTAIN)
    return votes


def _chance(rng, shared, alike):
    """Draw (n,) numbers from 0 to 1, which on a share of the images are the shared."""
    return np.where(rng.random(len(shared)) < alike, shared, rng.random(len(shared)))


def _seen_by_some(rng, votes, per_image, activity=1.0):
    """Leave the votes of some people on each image, by how active they are."""
    order = (rng.exponential(size=votes.shape) / activity).argsort(axis=1)
    kept = np.zeros(votes.shape, bool)
    np.put_along_axis(kept, order[:, :per_image], True, axis=1)
    return np.where(kept, votes, ABSTAIN)


def _found(votes, images):
    return VoteSet(named(votes, images.k), images.truth)


def _catalogue() -> dict[str, Callable[[np.random.Generator], VoteSet]]:
    found = {}
    for k, shares, n, alike in product((2, 10), _SHARES, _SIZES, (0, 0.5, 0.9)):
        found[f"one-class k={k} {shares} n={n:,} alike={alike}"] = partial(
            one_class, n=n, k=k, shares=shares, alike=alike
        )
    for k, shares, n in product((2, 4, 10), _SHARES, _SIZES):
        for m, alike in product((4, 12), (0, 0.6)):
            found[f"many-class k={k} {shares} n={n:,} m={m} alike={alike}"] = partial(
                many_class, n=n, k=k, shares=shares, m=m, alike=alike
            )
    for k, shares, n, alike in product((2, 4, 10), _SHARES, _SIZES, (0, 0.6)):
        found[f"mixed k={k} {shares} n={n:,} alike={alike}"] = partial(
            mixed, n=n, k=k, shares=shares, alike=alike
        )
    for k, shares, n, per in product((2, 4, 10), _SHARES, _SIZES[:2], (3, 10)):
        found[f"crowd k={k} {shares} n={n:,} each={per}"] = partial(
            crowd, n=n, k=k, shares=shares, per_image=per
        )
    for k, per, worst in product((2, 4), (5, 30), (0.6, 0.75)):
        found[f"misses-one k={k} n=500 each={per} worst={worst}"] = partial(
            misses_one, n=500, k=k, per_image=per, worst=worst
        )
    found["half-miss-one k=2 n=108"] = half_miss_one
    found["overuse-one k=4 n=600"] = overuse_one
    return found


FAMILIES = _catalogue()
