"""The shares of the classes: given or estimated, and posteriors brought in line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfkit.errors import InputError

_N_STEPS = 500
# By how much of its share the mean posterior is off in a class, one standard deviation:
# on digits, Fashion-MNIST, CIFAR-10 and clothes .04 to .21 in all, .02 a class at most
# in ten. Where seeds alone told it, 20 could not tell clothes, a quarter of them of one
# class of ten, from equal shares, and labels fell from .668 to .576.
_USUAL_BIAS = 0.3


@dataclass(frozen=True, eq=False)
class ClassPrior:
    """The shares of the classes among all images.

    Attributes
    ----------
    shares : (k,), summing to 1.
    how : where they come from, as a phrase for a report.
    """

    shares: NDArray[np.float64]
    how: str


def given_prior(shares: ArrayLike, n_classes: int) -> ClassPrior:
    """Check shares that the user knows."""
    prior = np.asarray(shares, np.float64)
    if prior.shape != (n_classes,):
        raise InputError(
            f"class_prior has shape {prior.shape}, expected one share for each of the "
            f"{n_classes} classes."
        )
    # Written so that NaN fails too.
    if not (prior.min() >= 0 and abs(prior.sum() - 1) < 1e-6):
        raise InputError(
            f"class_prior must be shares that sum to 1, got {prior.tolist()}."
        )
    return ClassPrior(prior / prior.sum(), "given")


def estimate_prior(
    proba: NDArray[np.float64],
    *,
    seed_proba: NDArray[np.float64] | None = None,
    seed_labels: NDArray[np.int64] | None = None,
) -> ClassPrior:
    """Estimate the shares of the classes from posteriors and how they err on seeds.

    The mean posterior m is a mixture of what the posteriors are on each class, which
    the seeds show: m = q C. q maximises sum_c m_c log (q C)_c, the likelihood of
    Saerens et al. (2002, https://doi.org/10.1162/089976602753284446) under the
    calibration of Lipton et al. (2018, https://arxiv.org/abs/1802.03916, eq. 3), by EM.
    Few seeds know C badly: q is drawn to m as by one more seed per class, and C to the
    identity as by one seed per class.

    The seeds may have been drawn class by class, so that their own shares say nothing;
    but where m is what the seeds' posteriors are on the mean, their shares explain all
    there is to see. So q is drawn to them by the factor of James & Stein
    (https://projecteuclid.org/euclid.bsmsp/1200512173), (k - 1) / X^2, X^2 the squared
    distance of m from these shares plus the posteriors' bias, in standard errors: not
    at all where they differ much, or where a class has no seed that would have one. Few
    seeds tell no bias; it is taken to be no larger than is usual. Without seeds q = m.

    Parameters
    ----------
    proba : (n, k) posteriors of all images.
    seed_proba : (s, k) posteriors of the seeds, by a model fitted without them.
    """
    mean = proba.mean(axis=0)
    mean = mean / mean.sum()
    if seed_proba is None or seed_labels is None or not len(seed_labels):
        return ClassPrior(mean, "the mean posterior; no seeds to correct it")
    k = len(mean)
    counts = np.bincount(seed_labels, minlength=k)
    sums = np.zeros((k, k))
    np.add.at(sums, seed_labels, seed_proba)
    confusion = (sums + np.eye(k)) / (counts + 1)[:, None]  # [y, c]
    n_seeds = len(seed_labels)
    weight = _weight_of_seeds(mean, seed_proba, seed_labels)
    shares = mean
    for _ in range(_N_STEPS):
        joint = shares[:, None] * confusion  # (k, k)
        explained = np.maximum(joint.sum(axis=0), 1e-300)
        expected = (joint * (mean / explained)).sum(axis=1)
        moved = (n_seeds * expected + k * mean) / (n_seeds + k)
        if np.abs(moved - shares).max() < 1e-9:
            break
        shares = moved
    shares = (1 - weight) * shares / shares.sum() + weight * counts / n_seeds
    return ClassPrior(
        shares,
        f"estimated: {1 - weight:.0%} the mean posterior, corrected by its errors on "
        f"{n_seeds} seeds, {weight:.0%} the seeds' own shares",
    )


def _weight_of_seeds(
    mean: NDArray[np.float64],
    seed_proba: NDArray[np.float64],
    seed_labels: NDArray[np.int64],
) -> float:
    """Give the share of the seeds' own shares: from 0 to 1."""
    # A class that nobody names tells nothing.
    named = (mean > 0) | (np.bincount(seed_labels, minlength=len(mean)) > 0)
    if not named.all():
        seed_labels = (np.cumsum(named) - 1)[seed_labels]
        mean, seed_proba = mean[named], seed_proba[:, named]
    k, n_seeds = len(mean), len(seed_labels)
    n_present = len(np.unique(seed_labels))
    if n_present < 2 or n_seeds <= n_present:
        return 0.0
    absent = np.setdiff1d(np.arange(k), seed_labels)
    if n_seeds * mean[absent].sum() > 1:
        return 0.0  # drawn from all images, they would show such a class
    residuals = seed_proba.astype(np.float64)
    for label in np.unique(seed_labels):
        rows = seed_labels == label
        residuals[rows] -= residuals[rows].mean(axis=0)
    freedom = n_seeds * (n_seeds - n_present)
    # The baseline is that of one seed of doubt: perfect posteriors are not certain.
    error = residuals.T @ residuals / freedom + np.eye(k) / n_seeds**2
    # How much too often posteriors name a class: as seeds show, and as is usual.
    usual = np.diag((_USUAL_BIAS * mean) ** 2 + 1e-9)
    gain = usual @ np.linalg.inv(usual + error)
    own = np.bincount(seed_labels, minlength=k) / n_seeds
    bias = gain @ (seed_proba.mean(axis=0) - own)
    gap = mean - own - bias
    squared = float(gap @ np.linalg.solve(usual - gain @ usual, gap))
    return min(1.0, (k - 1) / max(squared, 1e-9))


def align(
    proba: NDArray[np.float64], shares: NDArray[np.float64], *, n_steps: int = 10
) -> NDArray[np.float64]:
    """Rescale classes and rows in turn until the mean posterior is `shares`.

    Sinkhorn & Knopp (1967), https://doi.org/10.2140/pjm.1967.21.343. Rows sum to 1;
    a class that no image can have stays without one.

    Parameters
    ----------
    proba : (n, k).

    >>> skewed = np.array([[0.9, 0.1], [0.6, 0.4]])
    >>> align(skewed, np.array([0.5, 0.5])).mean(axis=0).round(3)
    array([0.5, 0.5])
    """
    aligned = np.array(proba, np.float64)
    for _ in range(n_steps):
        mean = aligned.mean(axis=0)
        aligned *= np.where(mean > 0, shares / np.where(mean > 0, mean, 1), 0)
        total = aligned.sum(axis=1, keepdims=True)
        # A row certain of a class of share 0 keeps what it had.
        lost = total[:, 0] <= 0
        aligned[lost], total[lost] = proba[lost], 1
        aligned /= total
    return aligned
