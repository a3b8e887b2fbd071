"""How right label models are by the number of seeds, drawn from the true classes."""

from collections import defaultdict
from dataclasses import replace
from functools import partial

import numpy as np

from benchmarks.common import draw_rows, markdown
from benchmarks.label_model_peers import PLAIN, fit, timed_fit
from benchmarks.vote_scores import naive_bayes, score
from benchmarks.vote_sets import VoteSet
from lfkit.aggregators import AGGREGATORS
from lfkit.data.votes import with_known

ON_SEEDS = "naive Bayes on the seeds"
SEEDS_PER_CLASS = (0, 1, 2, 5, 20)
N_DRAWS = 5


def seed_curve(found, names, limit):
    """Score the models that learn from seeds, with seeds drawn from the true classes.

    The functions have not learned from these seeds: their votes there are out of fold.

    Returns
    -------
    Model → seeds per class → accuracy of each draw, on the images that are no seeds.
    """
    ours = [name for name in names if name in AGGREGATORS]
    learning = [name for name in ours if AGGREGATORS[name].learns_from_seeds]
    curve = {name: defaultdict(list) for name in (PLAIN, *learning, ON_SEEDS)}
    for count in SEEDS_PER_CLASS:
        for draw in range(N_DRAWS if count else 1):
            votes, rest = _with_seeds(found, count, draw)
            made = {name: fit(name, votes, limit) for name in (PLAIN, *learning)}
            if count:
                work = partial(naive_bayes, votes, votes.seed_rows, votes.seed_labels)
                made[ON_SEEDS] = timed_fit(work, limit)
            for name, outcome in made.items():
                if outcome.proba is not None and rest.scored.any():
                    curve[name][count].append(score(outcome.proba, rest).accuracy)
    return curve


def _with_seeds(found, count, draw):
    """Draw so many seeds per class: votes that know them, and what is left to score."""
    votes = found.votes.rows(slice(None))  # a run's own seeds are not among them
    if not count:
        return votes, replace(found, votes=votes)
    rows = draw_rows(found.truth, count, draw)
    rest = found.truth.copy()
    rest[rows] = -1
    return with_known(votes, rows, found.truth[rows]), VoteSet(votes, rest)


def seed_table(title, curve):
    """Give the accuracies by seeds per class as Markdown."""
    rows = [
        [name, *(_range(found.get(count)) for count in SEEDS_PER_CLASS)]
        for name, found in curve.items()
    ]
    return (
        f"### {title}, by seeds per class\n\nAccuracy on the images that are no seeds: "
        f"mean of {N_DRAWS} draws of seeds (lowest-highest). {ON_SEEDS!r} reads one "
        "class per vote, the others all that is known.\n\n"
        f"{markdown(['model', *map(str, SEEDS_PER_CLASS)], rows)}"
    )


def _range(found):
    if not found:
        return "-"
    low, mean, high = 100 * min(found), 100 * np.mean(found), 100 * max(found)
    return f"{mean:.2f} ({low:.2f}-{high:.2f})" if len(found) > 1 else f"{mean:.2f}"
