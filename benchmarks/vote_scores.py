"""How right class probabilities are, and what naive Bayes could make of the votes."""

from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from lfkit.aggregators.calibration import log_losses, measure
from lfkit.data.folds import FOLDS, deal_folds

_TIED = 1e-9
_LEAST = 1e-3  # a class ruled out wrongly would else be the whole log loss
_N_DRAWS = 2000


@dataclass(frozen=True)
class Scores:
    """Scores of the images that have a vote and a known class.

    Attributes
    ----------
    right : (c,) 1 where the true class is the most probable one, 1/t where it is one of
        t tied ones, else 0.
    log_loss : mean; probabilities below .001 count as .001.
    ece : expected calibration error.
    """

    right: np.ndarray
    log_loss: float
    ece: float

    @property
    def accuracy(self):
        """Give the share of right images."""
        return float(self.right.mean())


def score(proba, found):
    """Score class probabilities, (n, k); None where no image can be scored."""
    rows = found.scored
    if not rows.any():
        return None
    proba, truth = proba[rows], found.truth[rows]
    best = proba >= proba.max(axis=1, keepdims=True) - _TIED
    return Scores(
        best[np.arange(len(truth)), truth] / best.sum(axis=1),
        float(log_losses(np.maximum(proba, _LEAST), truth).mean()),
        measure(proba, truth).ece,
    )


def bootstrap_interval(values):
    """Give the 95 % interval of the mean of (c,) values, by redrawing the images."""
    distinct, counts = np.unique(values, return_counts=True)
    n = len(values)
    # Images of equal value are one: to redraw them is to draw how many there are.
    drawn = np.random.default_rng(0).multinomial(n, counts / n, _N_DRAWS)
    low, high = np.quantile(drawn @ distinct / n, (0.025, 0.975))
    return float(low), float(high)


def naive_bayes(votes, rows, labels):
    """Learn from the hard votes on images of known class; label all images, (n, k).

    An abstention is one more symbol; every count begins at 1.

    Parameters
    ----------
    rows, labels : (s,) the images and their classes.
    """
    k = votes.n_classes
    counts = np.bincount(labels, minlength=k) + 1.0
    log_proba = np.tile(np.log(counts / counts.sum()), (len(votes), 1))  # (n, k)
    for column in votes.hard.T.astype(np.int64):
        symbol = column % (k + 1)  # k: it abstains
        table = np.bincount(labels * (k + 1) + symbol[rows], minlength=k * (k + 1))
        table = table.reshape(k, k + 1) + 1.0
        log_proba += np.log(table / table.sum(axis=1, keepdims=True)).T[symbol]
    return softmax(log_proba, axis=1)


def cross_fitted_naive_bayes(found):
    """Label each scored image by naive Bayes on the true classes of the other folds.

    Returns
    -------
    (n, k), zeros for images that are not scored.
    """
    rows = np.flatnonzero(found.scored)
    labels = found.truth[rows]
    proba = np.zeros((len(found.truth), found.votes.n_classes))
    folds = deal_folds(labels, FOLDS, 0)
    for fold in np.unique(folds):
        train, test = rows[folds != fold], rows[folds == fold]
        proba[test] = naive_bayes(found.votes, train, found.truth[train])[test]
    return proba
