"""Two more families of votes that no label model was tuned on.

Prompts: zero-shot prompts to two or three vision-language models. Prompts of a model
read the same embedding; each has its bias to some classes, is blind to a few, and
abstains under a margin of confidence that its author set.
Rules and a field team: heuristics for one or two classes, those of an author for a
class overlapping, and a few field workers who label the images of some sites.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.special import expit, softmax

from benchmarks.unseen_families import class_shares
from benchmarks.vote_sets import VoteSet, drawn, named
from lfkit import ABSTAIN

_SITES = 8
_LEAST_SHARE = 0.012  # of a class for which someone writes a rule
_LEAST_COVERAGE, _MOST_COVERAGE = 0.02, 0.3  # of a rule


def prompts(rng, case):
    """Draw images and what prompts to vision-language models say of them."""
    k, ratio, n, n_prompts, n_models = case
    truth = rng.choice(k, p=class_shares(k, ratio), size=n)
    clear = np.exp(-rng.normal(0, 0.5, size=n))[:, None]  # easy to hard images
    odd = 0.6 * rng.normal(size=(n, k))  # what an image shows besides, to all models
    alike = _alike(rng, k)
    columns = np.empty((n, n_prompts), int)
    for model in range(n_models):
        # It knows some classes better than others; pretraining favours a few.
        known = rng.normal(rng.uniform(2, 3.2), 0.8, size=k).clip(0.2)
        mean = known[:, None] * (np.eye(k) + 0.6 * alike)
        favoured = 0.5 * rng.normal(size=k)
        image = clear * mean[truth] + odd + 0.7 * rng.normal(size=(n, k)) + favoured
        for j in range(model, n_prompts, n_models):
            bias = rng.uniform(0.2, 0.8) * rng.normal(size=k)
            blind = rng.random(k) < rng.uniform(0, 0.25)
            bias[blind] -= rng.uniform(1, 3, size=blind.sum())  # a poor word for it
            logits = image + bias + 0.3 * rng.normal(size=(n, k))
            columns[:, j] = _confident(rng, logits)
    return VoteSet(named(columns, k), truth)


def _confident(rng, logits):
    """Vote for the likeliest class where the margin to the second is enough, (n,)."""
    proba = softmax(rng.uniform(0.7, 1.5) * logits, axis=1)
    second, first = np.sort(proba, axis=1)[:, -2:].T
    is_clear = first - second >= rng.choice([0.05, 0.1, 0.2, 0.4])
    return np.where(is_clear, proba.argmax(axis=1), ABSTAIN)


def _alike(rng, k):
    """Give how alike two classes are, (k, k), 0 to 1, 0 for a class and itself."""
    places = rng.normal(size=(k, 3))
    distance = ((places[:, None] - places) ** 2).sum(axis=2)
    return np.exp(-distance / 2) * (1 - np.eye(k))


def rules_and_team(rng, case):
    """Draw images, the votes of rules on them and the labels of field workers."""
    k, ratio, n, n_workers = case
    shares = class_shares(k, ratio)
    truth = rng.choice(k, p=shares, size=n)
    hard = rng.normal(size=n)
    alike = _alike(rng, k) + 0.05 * (1 - np.eye(k))
    columns = []
    common = np.flatnonzero(shares >= _LEAST_SHARE)
    weights = np.sqrt(shares[common]) / np.sqrt(shares[common]).sum()
    for _ in range(rng.integers(3, 6)):  # authors, each with ideas for some classes
        n_ideas = min(len(common), max(2, round(k * rng.uniform(0.3, 0.7))))
        for first in rng.choice(common, n_ideas, replace=False, p=weights):
            classes = [first]
            if k > 2 and rng.random() < 0.25:
                classes.append(rng.choice(k, p=alike[first] / alike[first].sum()))
            idea = rng.normal(size=n) - 0.5 * hard  # what the author has in mind
            for _ in range(rng.choice([1, 2, 3], p=[0.5, 0.3, 0.2])):  # siblings
                own = rng.uniform(0.3, 1.2) * rng.normal(size=n)
                columns.append(_rule(rng, shares, truth, alike, classes, idea + own))
    columns += _team(rng, shares, truth, hard, alike, n_workers)
    return VoteSet(named(np.stack(columns, axis=1), k), truth)


def _rule(rng, shares, truth, alike, classes, score):
    """Vote for one or two classes where the score is high, (n,)."""
    share = shares[classes].sum()
    # Nobody keeps a rule that is worse than its classes' share.
    precision = rng.uniform(min(max(0.5, share), 0.93), 0.95)
    coverage = np.exp(rng.uniform(np.log(_LEAST_COVERAGE), np.log(_MOST_COVERAGE)))
    coverage = max(min(coverage, 0.8 * share / precision), _LEAST_COVERAGE)
    precision = min(precision, 0.9 * share / coverage)
    swapped = rng.uniform(0, 1 - precision) if len(classes) == 2 else 0
    near = alike[:, classes]
    is_named = np.isin(truth, classes)
    mistaken_for = score + np.log(near.sum(axis=1)[truth] + 1e-3)
    votes = np.full(len(truth), ABSTAIN)
    for fires_on, rate, ranked in (
        (is_named, coverage * (precision + swapped), score),
        (~is_named, coverage * (1 - precision - swapped), mistaken_for),
    ):
        images = np.flatnonzero(fires_on)
        # Thresholds, so that siblings fire on much the same images.
        fired = images[np.argsort(-ranked[images])][: rng.binomial(len(truth), rate)]
        votes[fired] = np.asarray(classes)[near[truth[fired]].argmax(axis=1)]
    said = np.where(is_named & (votes != ABSTAIN), truth, votes)
    swap = rng.random(len(truth)) < swapped / (precision + swapped)
    return np.where(swap & (said == truth), sum(classes) - truth, said)


def _team(rng, shares, truth, hard, alike, n_workers):
    """List the labels of workers, (n,) each, of the images at the sites they go to."""
    k = len(shares)
    at_site = drawn(rng, rng.dirichlet(np.full(_SITES, 2), size=k)[truth])
    labels = []
    for _ in range(n_workers):
        sites = rng.choice(_SITES, rng.integers(1, 4), replace=False)
        diligence = rng.uniform(0.4, 1)
        visited = np.isin(at_site, sites) & (rng.random(len(truth)) < diligence)
        skill = rng.normal(1.8, 0.5) + 0.5 * rng.normal(size=k)  # better at some
        # Unsure, they say what is alike and, more or less, what is frequent.
        confused = alike * shares ** rng.uniform(0, 0.7) * rng.gamma(2, size=(k, k))
        wrong = drawn(rng, (confused / confused.sum(axis=1, keepdims=True))[truth])
        knows = rng.random(len(truth)) < expit(skill[truth] - hard)
        labels.append(np.where(visited, np.where(knows, truth, wrong), ABSTAIN))
    return labels


_PROMPTS = [  # classes, the largest class to the smallest, images, prompts, models
    *((2, 1, 500, 5, 2), (3, 8, 100, 6, 2), (5, 1, 5_000, 8, 3)),
    *((8, 30, 1_000, 10, 3), (12, 4, 300, 7, 2), (20, 15, 3_000, 10, 3)),
]
_RULES = [  # classes, the largest class to the smallest, images, field workers
    (2, 9, 1_000, 3),
    (3, 1, 200, 3),
    (4, 20, 5_000, 4),
    (7, 3, 100, 5),
    (12, 1, 2_000, 4),
    (20, 8, 4_000, 6),
]
UNSEEN_2: dict[str, Callable[[np.random.Generator], VoteSet]] = {
    f"{name} k={case[0]} {case[1]}:1 n={case[2]:,}": partial(family, case=case)
    for name, family, cases in (
        ("prompts", prompts, _PROMPTS),
        ("rules and team", rules_and_team, _RULES),
    )
    for case in cases
}
