"""Two families of votes that no label model was tuned on, and how `auto` does there.

    python -m benchmarks.unseen_families [--cells cascades] [--repeats 10]

Cascades and thresholds: rules that read a few shared cues of an image, each fitted on
the few images an author looks at, and abstaining where the score is not clear.
Annotators and models: people with habits, two asked first and more where they differ,
and two classifiers that make the same mistakes and vote on all images.

Prints Markdown: accuracy on the images with a vote, tied classes by their share;
leads are paired, ± is a 99 % interval of the mean over the draws.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.special import expit
from scipy.stats import t as student
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from benchmarks.common import machine, markdown, one_thread
from benchmarks.label_model_peers import JUDGED, PLAIN, timed_fit
from benchmarks.vote_scores import score
from benchmarks.vote_sets import VoteSet, named
from lfkit import ABSTAIN
from lfkit.aggregators import AGGREGATORS

_MODELS = (PLAIN, JUDGED, "dawid-skene", "label-model")
_LIMIT = 300  # seconds of a fit
_LOOKED_AT, _LOOKED_AT_PER_CLASS = 100, 10  # by the author of the rules
_LEAST_FIRED = 5  # images looked at on which a rule must fire
_TRIES = 6  # measures that an author tries for a rule
_LEAST_PRECISION = 0.4  # on the images looked at; a worse rule is given up


def main(arguments=None):
    """Print how models do on each cell."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cells", default="", help="part of a cell's name")
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args(arguments)
    print(f"{machine()}, one thread\n")
    rows = []
    with one_thread():
        for name in UNSEEN:
            if options.cells in name:
                rows.append(_compare(name, options.repeats))
                print(rows[-1], file=sys.stderr, flush=True)
    titles = [
        "cell", "the vote", f"{JUDGED}'s lead", "its worst draw", "dawid-skene's lead",
        "label-model's lead", f"{JUDGED} chose",
    ]  # fmt: skip
    print(markdown(titles, rows))


def draw(name, repeat):
    """Draw the votes of a cell."""
    return UNSEEN[name](np.random.default_rng([*name.encode(), repeat]))


def _compare(name, repeats):
    """Fit all models on each draw; give a row of the table, in points."""
    right, choices = np.empty((repeats, len(_MODELS))), Counter()
    for repeat in range(repeats):
        found = draw(name, repeat)
        for column, member in enumerate(_MODELS):
            model = AGGREGATORS[member]()
            outcome = timed_fit(partial(model.fit_predict_proba, found.votes), _LIMIT)
            if outcome.proba is None:
                raise SystemExit(f"{member} failed on {name}: {outcome.reason}.")
            right[repeat, column] = 100 * score(outcome.proba, found).accuracy
            if member == JUDGED:
                choices[str(model.chosen_)] += 1
    leads = right[:, 1:] - right[:, :1]
    mean = leads.mean(axis=0)
    error = leads.std(axis=0, ddof=1) / np.sqrt(repeats)
    interval = student.ppf(0.995, repeats - 1) * error
    ours, *others = (f"{m:+.2f} ± {i:.2f}" for m, i in zip(mean, interval, strict=True))
    chosen = ", ".join(f"{c} {times}" for c, times in choices.most_common())
    worst = f"{leads[:, 0].min():+.2f}"
    return [name, f"{right[:, 0].mean():.1f}", ours, worst, *others, chosen]


def class_shares(k, ratio):
    """Give the classes' shares, (k,): the first is `ratio` times the last."""
    shares = float(ratio) ** -np.linspace(0, 1, k)
    return shares / shares.sum()


def cascades(rng, k, ratio, n):
    """Draw images and the votes of rules on their cues."""
    shares = class_shares(k, ratio)
    truth = rng.choice(k, p=shares, size=n)
    few = np.repeat(np.arange(k), _LOOKED_AT_PER_CLASS)
    looked_at = np.concatenate([few, rng.choice(k, p=shares, size=_LOOKED_AT)])
    cues = _cues(rng, k)
    seen, known = _look(rng, cues, truth), _look(rng, cues, looked_at)
    columns = []
    for classes in _classes_named(rng, k):
        votes = _rule(rng, seen, known, looked_at, classes)
        if votes is not None and rng.random() < 0.3:
            # A cascade: where the first step is not clear, a second one.
            second = _rule(rng, seen, known, looked_at, classes)
            if second is not None:
                votes = np.where(votes == ABSTAIN, second, votes)
        if votes is not None:
            columns.append(votes)
    return VoteSet(named(np.stack(columns, axis=1), k), truth)


def _classes_named(rng, k):
    """List the classes that each function names: one, two or three, or all."""
    ones = [np.array([j % k]) for j in range(max(4, k))]
    sizes = rng.integers(2, min(3, k - 1) + 1, size=k // 2) if k > 2 else []
    some = [np.sort(rng.choice(k, size, replace=False)) for size in sizes]
    return ones + some + [np.arange(k)] * rng.integers(2, 5)


def _cues(rng, k):
    """Make cues of 2 or 3 numbers, and last the features of a weak classifier."""
    cues = []
    n_cues = rng.integers(3, 6) + k // 4
    for n_numbers in (*rng.integers(2, 4, size=n_cues), 8):
        spread = rng.uniform(0.5, 1.2) if n_numbers < 8 else 0.7
        means = spread * rng.standard_t(3, (k, n_numbers))  # some classes stand out
        lookalike = (np.arange(k) + rng.integers(1, k, size=k)) % k
        cues.append((means, lookalike, rng.uniform(0.03, 0.2)))
    return cues


def _look(rng, cues, truth):
    """Measure each cue of images, a list of (n, d)."""
    n = len(truth)
    blur = rng.lognormal(0, 0.35, (n, 1))  # a poor image is poor for all cues
    odd = rng.exponential(size=n)  # and an odd one misleads more of them
    values = []
    for means, lookalike, misleading in cues:
        looks_like = np.where(rng.random(n) < misleading * odd, lookalike[truth], truth)
        values.append(means[looks_like] + blur * rng.normal(size=(n, means.shape[1])))
    return values


def _rule(rng, seen, known, labels, classes):
    """Try measures, keep the best on the images looked at; its votes, (n,), or None."""
    target = rng.uniform(0.6, 0.95)  # the precision that the author wants
    names_all = len(classes) == labels.max() + 1
    tries = []
    for _ in range(_TRIES):
        # Only a function for all classes reads the classifier's features.
        cue = rng.integers(len(seen) - (not names_all))
        d = seen[cue].shape[1]
        numbers = rng.choice(d, d if names_all else rng.integers(1, 3), replace=False)
        own = rng.uniform(0.2, 0.5)  # it measures the cue in its own way
        noisy = [
            values[cue][:, numbers] + own * rng.normal(size=(len(values[cue]), 1))
            for values in (known, seen)
        ]
        tries.append(_threshold(*noisy, labels, classes, target))
    precision, _, votes = max(tries, key=lambda found: found[1])
    return votes if precision >= _LEAST_PRECISION else None


def _threshold(known, seen, labels, classes, target):
    """Fit a score, abstain below a threshold that the images looked at suggest."""
    model = LinearDiscriminantAnalysis()
    model.fit(known, np.where(np.isin(labels, classes), labels, ABSTAIN))
    is_named = model.classes_ != ABSTAIN
    known_scores = model.predict_proba(known)[:, is_named]
    scores = model.predict_proba(seen)[:, is_named]
    clear = known_scores.max(axis=1)
    order = np.argsort(-clear, kind="stable")
    right = np.cumsum(classes[known_scores.argmax(axis=1)][order] == labels[order])
    precision = right / np.arange(1, len(order) + 1)
    precision[: _LEAST_FIRED - 1] = 0
    good = np.flatnonzero(precision >= target)
    last = good[-1] if len(good) else precision.argmax()
    votes = classes[scores.argmax(axis=1)]
    votes = np.where(scores.max(axis=1) >= clear[order[last]], votes, ABSTAIN)
    return precision[last], right[last] * precision[last], votes


def annotators(rng, k, ratio, n, n_people):
    """Draw images and the votes of people and of two models."""
    shares = class_shares(k, ratio)
    truth = rng.choice(k, p=shares, size=n)
    hard = rng.normal(0, 1.2, size=n)
    similar = rng.dirichlet(np.full(k, 0.5), size=k) + 0.05  # what is taken for what
    similar *= 1 - np.eye(k)
    mistaken = partial(_mistake, rng, similar, truth)
    lookalike = mistaken()  # an image misleads people to the same class
    habits = ["spammer", "swapper"]
    habits += [*rng.choice(["careful", "biased", "careless"], n_people - 2)]
    answers = []
    for habit in habits:
        skill = rng.normal(2.5 if habit == "careful" else 2, 0.4)
        wrong = np.where(rng.random(n) < 0.6, lookalike, mistaken())
        answer = np.where(rng.random(n) < expit(skill - hard), truth, wrong)
        answers.append(_HABITS[habit](rng, shares, answer, hard))
    answers = np.stack(answers, axis=1)
    asked = _asked(rng, answers, k)
    hard_for_models = 0.6 * hard + rng.normal(0, 1, size=n)
    skill = rng.uniform(0.8, 2.2)

    def predict():
        # What models get wrong goes to frequent classes.
        wrong = _mistake(rng, similar * shares, truth)
        wrong = np.where(rng.random(n) < 0.4, lookalike, wrong)
        return np.where(rng.random(n) < expit(skill - hard_for_models), truth, wrong)

    both = predict()
    models = [
        np.where(rng.random(n) < rng.uniform(0.05, 0.2), predict(), both)
        for _ in range(2)
    ]
    people = np.where(asked, answers, ABSTAIN)
    return VoteSet(named(np.column_stack([people, *models]), k), truth)


def _mistake(rng, similar, truth):
    """Draw another class than the true one, (n,)."""
    table = (similar / similar.sum(axis=1, keepdims=True)).cumsum(axis=1)
    table[:, -1] = 1
    drawn = (table[truth] <= rng.random((len(truth), 1))).sum(axis=1)
    # The last class's own row ends one earlier, but for rounding.
    return np.where(drawn == truth, (truth + 1) % len(similar), drawn)


def _asked(rng, answers, k):
    """Ask two people, two more where they differ, a fifth where that is a tie."""
    n, m = answers.shape
    workload = rng.normal(size=m)  # some do far more than others
    workload[0] += np.log(2)  # a spammer is quick
    order = np.argsort(-(workload + rng.gumbel(size=(n, m))), axis=1)
    rank = np.argsort(order, axis=1)
    ordered = np.take_along_axis(answers, order, axis=1)
    differ = ordered[:, 0] != ordered[:, 1]
    counts = (ordered[:, :4, None] == np.arange(k)).sum(axis=1)  # (n, k)
    tied = (counts == counts.max(axis=1, keepdims=True)).sum(axis=1) > 1
    n_asked = 2 + 2 * differ + (differ & tied)
    return rank < n_asked[:, None]


def _careful(rng, shares, answer, hard):
    return answer


def _biased(rng, shares, answer, hard):
    favourite = rng.choice(len(shares))
    unsure = (hard > 0) & (rng.random(len(answer)) < rng.uniform(0.2, 0.5))
    return np.where(unsure, favourite, answer)


def _careless(rng, shares, answer, hard):
    clicked = rng.integers(len(shares), size=len(answer))
    return np.where(rng.random(len(answer)) < rng.uniform(0.15, 0.4), clicked, answer)


def _spammer(rng, shares, answer, hard):
    if rng.random() < 0.5:  # always the same button
        return np.full(len(answer), rng.choice(len(shares), p=shares))
    return rng.integers(len(shares), size=len(answer))


def _swapper(rng, shares, answer, hard):
    pair = rng.choice(len(shares), 2, replace=False)
    swapped = np.where(np.isin(answer, pair), pair.sum() - answer, answer)
    return np.where(rng.random(len(answer)) < rng.uniform(0.5, 0.95), swapped, answer)


_HABITS = {
    "careful": _careful,
    "biased": _biased,
    "careless": _careless,
    "spammer": _spammer,
    "swapper": _swapper,
}

_CASCADES = [  # classes, the largest class to the smallest, images
    (2, 1, 2_000),
    (2, 9, 20_000),
    (3, 4, 100),
    (4, 30, 1_000),
    (6, 1, 500),
    (10, 1, 5_000),
    (10, 50, 20_000),
    (20, 10, 3_000),
]
_ANNOTATORS = [  # and people
    (2, 1, 100, 6),
    (2, 12, 1_000, 10),
    (3, 5, 5_000, 15),
    (5, 1, 300, 8),
    (7, 40, 2_000, 12),
    (10, 20, 500, 10),
    (10, 1, 10_000, 40),
    (20, 5, 20_000, 50),
]
UNSEEN: dict[str, Callable[[np.random.Generator], VoteSet]] = {
    f"cascades k={k} {ratio}:1 n={n:,}": partial(cascades, k=k, ratio=ratio, n=n)
    for k, ratio, n in _CASCADES
} | {
    f"annotators k={k} {ratio}:1 n={n:,}": partial(
        annotators, k=k, ratio=ratio, n=n, n_people=n_people
    )
    for k, ratio, n, n_people in _ANNOTATORS
}

if __name__ == "__main__":
    main()
