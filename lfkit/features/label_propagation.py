"""Transduction: a linear classifier and the labels of unlabeled images, learned as one.

After Laude et al., "Discrete-Continuous ADMM for Transductive Inference in Higher-Order
MRFs" (CVPR 2018), https://arxiv.org/abs/1705.05020. Over the weights W and the labels y
of the unlabeled images, it minimises

    sum_i 1/2 |x_i W - e(y_i)|^2 + RIDGE / 2 |W|^2
      + smoothness * sum_ij a_ij [y_i != y_j]               (pairs: nearest neighbors)
      + share_weight / 2 * sum_c (n_c - t_c)^2 / t_c        (higher order: class sizes)

where e(y) is a unit vector, n_c the images of class c and t_c what the seeds' shares
let expect. ADMM splits it by scores u_i = x_i W: labels and scores on one side, weights
on the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from lfkit.errors import DeclarationError
from lfkit.features.feature import Feature, feature

# Accuracies below: Fashion-MNIST, 20 seeds per class, 2,048 unlabeled images, HOG, gist
# and Haar together, on 5,000 further images, mean of three draws.
RIDGE = 0.5  # .1: .813, 1: .817, 2: .813
_FIRST_RIDGE = 0.2  # of the classifier that starts the labels, fitted on the seeds
# The quadratic penalty, growing until labels stop: from 1 upwards labels wander (-.01),
# from 16 they stay where they start (-.007).
_FIRST_PENALTY = 4.0
_PENALTY_GROWTH = 1.5
_LARGEST_PENALTY = 100.0
_MOST_STEPS = 25
_MOST_SWEEPS = 5
# Cosine above which an image is a seed image. Rounding a seed's values to float16 costs
# up to 1e-5, the most similar pair of different images is far below.
SAME_IMAGE = 1 - 5e-5
# Of 2 numbers 45 % of random images would be taken for a seed, of 3 .6 %, of 4 none.
_LEAST_NUMBERS = 8


def transductive(
    *sources: Feature,
    name: str,
    n_neighbors: int = 10,
    smoothness: float = 0.05,
    share_weight: float = 0.2,
) -> Feature:
    """Make a feature of class scores, learned with the help of unlabeled images.

    Scores are linear in the sources, so that they serve images of any origin. A seed
    image gets the scores of a classifier that was not shown its own label, in closed
    form. The labels found for its neighbors stay, so these scores are still a little
    better than new images' (.86 of them right against .82).

    Parameters
    ----------
    sources : features of one vector per image; up to some 2,000 numbers together.
    n_neighbors : pairs per image in the graph of nearest neighbors.
    smoothness : cost of a pair whose labels differ.
    share_weight : how strongly the unlabeled images' classes should have the seeds'
        shares, against all falling to a few classes. 1 gains .01 over .2 on some
        sources where the shares are right, and costs .1 where classes differ ten times
        in size and the seeds do not say so; then 0 is best.

    Returns
    -------
    Feature `name`: (n, k), one score for each class with seeds, in ascending order.
    """
    learn = partial(
        learn_scores,
        n_neighbors=n_neighbors,
        smoothness=smoothness,
        share_weight=share_weight,
    )

    @feature(name=name, batched=True, of=sources, fit=learn)
    def class_scores(*values: torch.Tensor, **learned: torch.Tensor) -> torch.Tensor:
        """Linear class scores, learned from seeds and unlabeled images."""
        return _scores(values, learned)

    return class_scores


def learn_scores(
    *values: torch.Tensor,
    labels: NDArray[np.int64],
    rng: np.random.Generator,
    unlabeled: Sequence[torch.Tensor],
    n_neighbors: int = 10,
    smoothness: float = 0.05,
    share_weight: float = 0.2,
) -> dict[str, NDArray[np.float32]]:
    """Learn weights from seeds and unlabeled images; nothing is drawn from `rng`.

    Parameters
    ----------
    values : per source, (s, ...) values of the seeds.
    labels : (s,) their classes.
    unlabeled : per source, (u, ...) values of other images; seeds among them are left
        out.

    Returns
    -------
    center, scale: (d,), how to standardise the sources' d numbers; weights (d, k) and
    bias (k,) of the classifier on rows of length one; seeds (s, d) such rows, and
    seed_scores (s, k) to give them.
    """
    seed_rows, other_rows = _joined(values), _joined(unlabeled)
    if seed_rows.shape[1] < _LEAST_NUMBERS:
        raise DeclarationError(
            f"transductive needs sources of at least {_LEAST_NUMBERS} numbers together "
            f"to tell images apart, got {seed_rows.shape[1]}."
        )
    both = torch.cat([seed_rows, other_rows])
    center, scale = both.mean(dim=0), both.std(dim=0, correction=0)
    scale = torch.where(scale > 1e-6, 1 / scale, torch.zeros_like(scale))
    seeds = _unit_rows(seed_rows, center, scale)  # (s, d)
    others = _unit_rows(other_rows, center, scale)  # (u, d)
    others = others[(others @ seeds.T > SAME_IMAGE).sum(dim=1) == 0]
    _, own = np.unique(labels, return_inverse=True)
    rows = torch.cat([seeds, others]).double().numpy()
    # Two threads on a busy machine wait for one another: 12 s instead of .5 s.
    with threadpool_limits(1, "blas"):
        found = transduce(
            rows,
            own.astype(np.int64),
            n_neighbors=n_neighbors,
            smoothness=smoothness,
            share_weight=share_weight,
        )
    arrays = {
        "center": center.numpy(),
        "scale": scale.numpy(),
        "weights": found.weights,
        "bias": found.bias,
        "seeds": seeds.numpy(),
        "seed_scores": found.seed_scores,
    }
    return {key: np.asarray(array, np.float32) for key, array in arrays.items()}


def _scores(
    values: Sequence[torch.Tensor], learned: Mapping[str, torch.Tensor]
) -> torch.Tensor:
    rows = _unit_rows(_joined(values), learned["center"], learned["scale"])
    scores = rows @ learned["weights"] + learned["bias"]
    cosine, nearest = (rows @ learned["seeds"].T).max(dim=1)
    is_seed = (cosine > SAME_IMAGE)[:, None]
    return torch.where(is_seed, learned["seed_scores"][nearest], scores)


def _joined(values: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat([value[:, None].flatten(1) for value in values], dim=1)


def _unit_rows(
    rows: torch.Tensor, center: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """Standardise columns, then give every row length one.

    The latter gives nearest neighbors of equal class in .756 instead of .737 of pairs.
    """
    rows = (rows - center) * scale
    return rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_(min=1e-6)


@dataclass(frozen=True)
class Transduction:
    """What `transduce` finds.

    Attributes
    ----------
    weights, bias : (d, k) and (k,)
    labels : (m,) of all rows, the seeds' own among them.
    seed_scores : (s, k) of a classifier fitted without the row in question.
    n_steps : ADMM steps taken.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    labels: NDArray[np.int64]
    seed_scores: NDArray[np.float64]
    n_steps: int


def transduce(
    rows: NDArray[np.float64],
    own: NDArray[np.int64],
    *,
    n_neighbors: int,
    smoothness: float,
    share_weight: float,
) -> Transduction:
    """Learn weights and labels by ADMM.

    Parameters
    ----------
    rows : (m, d) of unit length, the s seeds first.
    own : (s,) the seeds' classes, all of 0 … k - 1 among them.
    """
    s, m = len(own), len(rows)
    shares = np.bincount(own) / s
    points = rows - rows.mean(axis=0)
    field = LabelField(
        smoothness * neighbor_graph(rows, n_neighbors), s, share_weight, m * shares
    )
    classifier = _Ridge(points[:s], _FIRST_RIDGE)
    weights, bias = classifier.fit(np.eye(len(shares))[own])
    labels = (points @ weights + bias).argmax(axis=1)
    labels[:s] = own
    classifier = _Ridge(points, RIDGE)
    duals = np.zeros((m, len(shares)))
    penalty = _FIRST_PENALTY
    n_steps = n_changes = 0
    n_quiet = 0
    while n_quiet < 3 and n_steps < _MOST_STEPS:
        wanted = points @ weights + bias + duals
        n_changes = field.descend(labels, discrete_costs(wanted, penalty))
        split = nearest_scores(wanted, labels, penalty)
        weights, bias = classifier.fit(split - duals, penalty)
        duals += points @ weights + bias - split
        n_quiet = 0 if n_changes else n_quiet + 1
        n_steps += 1
        if penalty < _LARGEST_PENALTY:
            penalty *= _PENALTY_GROWTH
            duals /= _PENALTY_GROWTH  # scaled duals: the unscaled ones stay
    # With the labels settled, this is where the remaining steps would lead.
    targets = np.eye(len(shares))[labels]
    weights, bias = classifier.fit(targets)
    scores, leverage = points[:s] @ weights + bias, classifier.leverage(s)[:, None]
    left_out = (scores - leverage * targets[:s]) / (1 - leverage)
    return Transduction(
        weights, bias - rows.mean(axis=0) @ weights, labels, left_out, n_steps
    )


def discrete_costs(wanted: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
    """Cost of each label with the best scores for it: (m, k).

    min over u of 1/2 |u - e(y)|^2 + penalty / 2 |u - wanted|^2, in closed form.
    """
    squares = (wanted**2).sum(axis=1, keepdims=True)
    return penalty / (1 + penalty) / 2 * (squares - 2 * wanted + 1)


def nearest_scores(
    wanted: NDArray[np.float64], labels: NDArray[np.int64], penalty: float
) -> NDArray[np.float64]:
    """Give the scores that attain `discrete_costs` for these labels: (m, k)."""
    targets = np.eye(wanted.shape[1])[labels]
    return (targets + penalty * wanted) / (1 + penalty)


def neighbor_graph(rows: NDArray[np.float64], n_neighbors: int) -> csr_array:
    """Join each unit row with those of highest cosine: (m, m), symmetric.

    An edge weighs 1 where both are among the other's nearest, else 1/2.
    """
    m = len(rows)
    n_neighbors = min(n_neighbors, m - 1)
    rows = rows.astype(np.float32)
    cosines = rows @ rows.T
    np.fill_diagonal(cosines, -np.inf)
    nearest = np.argpartition(cosines, m - n_neighbors, axis=1)[:, m - n_neighbors :]
    starts = np.arange(m + 1) * n_neighbors
    ones = np.full(m * n_neighbors, 0.5)
    directed = csr_array((ones, nearest.ravel(), starts), shape=(m, m))
    return csr_array(directed + directed.T)


class LabelField:
    """The energy of labels: costs per image, a Potts term on a graph, class sizes.

    Parameters
    ----------
    edges : (m, m) symmetric weights, the cost of two labels that differ.
    n_clamped : the first rows, whose labels never change.
    share_weight : weight of the class sizes' squared relative deviations.
    expected : (k,) class sizes, above 0.
    """

    def __init__(
        self,
        edges: csr_array,
        n_clamped: int,
        share_weight: float,
        expected: NDArray[np.float64],
    ) -> None:
        self._edges = edges
        self._n_clamped = n_clamped
        self._share_weight = share_weight
        self._expected = expected

    def energy(self, labels: NDArray[np.int64], costs: NDArray[np.float64]) -> float:
        """Give the energy of (m,) labels, with (m, k) costs of their own."""
        m, k = costs.shape
        joined = self._edges.tocoo()
        differ = labels[joined.row] != labels[joined.col]
        sizes = np.bincount(labels, minlength=k)
        misfit = ((sizes - self._expected) ** 2 / self._expected).sum()
        return float(
            costs[np.arange(m), labels].sum()
            + joined.data[differ].sum() / 2  # each pair is there twice
            + self._share_weight / 2 * misfit
        )

    def descend(self, labels: NDArray[np.int64], costs: NDArray[np.float64]) -> int:
        """Change labels one at a time, where that lowers the energy; count changes.

        Iterated conditional modes (Besag, 1986), in place: only images that want to
        change are visited, the most decided first.
        """
        k = costs.shape[1]
        costs = costs - self._edges @ np.eye(k)[labels]  # agreeing neighbors refund
        sizes = np.bincount(labels, minlength=k).astype(np.float64)
        n_changes = 0
        for _ in range(_MOST_SWEEPS):
            before = n_changes
            for row in self._undecided(labels, costs, sizes):
                old = labels[row]
                sizes[old] -= 1
                new = (costs[row] + self._entry_costs(sizes)).argmin()
                sizes[new] += 1
                if new != old:
                    labels[row] = new
                    n_changes += 1
                    at = slice(*self._edges.indptr[row : row + 2])
                    neighbors, weights = self._edges.indices[at], self._edges.data[at]
                    costs[neighbors, old] += weights
                    costs[neighbors, new] -= weights
            if n_changes == before:
                break
        return n_changes

    def _undecided(
        self,
        labels: NDArray[np.int64],
        costs: NDArray[np.float64],
        sizes: NDArray[np.float64],
    ) -> NDArray[np.int64]:
        rows = np.arange(len(labels))
        entry = self._entry_costs(sizes)
        leave = (
            self._share_weight / self._expected
        )  # an image's own place is free again
        gain = (
            costs[rows, labels] + (entry - leave)[labels] - (costs + entry).min(axis=1)
        )
        gain[: self._n_clamped] = 0
        order = np.argsort(-gain, kind="stable")
        return order[: int((gain > 0).sum())]

    def _entry_costs(self, sizes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Cost of one more image in each class: (k,)."""
        return self._share_weight * (sizes - self._expected + 0.5) / self._expected


class _Ridge:
    """Linear least squares on points centered at 0, factored once for a penalty."""

    def __init__(self, points: NDArray[np.float64], ridge: float) -> None:
        self._center = points.mean(axis=0)
        self._points = points - self._center
        self._ridge = ridge
        # The smaller of the two Gram matrices.
        self._wide = points.shape[1] > len(points)
        left = self._points if self._wide else self._points.T
        self._gram = left @ left.T
        self._factor: tuple[float, object] = (0.0, None)

    def fit(
        self, targets: NDArray[np.float64], penalty: float = 1.0
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Minimise penalty / 2 |targets - scores|^2 + ridge / 2 |weights|^2."""
        mean = targets.mean(axis=0)
        if self._wide:
            weights = self._points.T @ self._solve(targets - mean, penalty)
        else:
            weights = self._solve(self._points.T @ (targets - mean), penalty)
        return weights, mean - self._center @ weights

    def leverage(self, s: int) -> NDArray[np.float64]:
        """How far each of the first s rows' own target moves its score: (s,)."""
        rows = self._points[:s]
        if self._wide:
            shares = self._gram[:s] @ self._solve(np.eye(len(self._points))[:, :s], 1.0)
            own = np.diagonal(shares)
        else:
            own = (rows * self._solve(rows.T, 1.0).T).sum(axis=1)
        return own + 1 / len(self._points)

    def _solve(self, right: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
        ridge = self._ridge / penalty
        if self._factor[0] != ridge:
            shifted = self._gram + ridge * np.eye(len(self._gram))
            self._factor = (ridge, cho_factor(shifted, overwrite_a=True))
        return cho_solve(self._factor[1], right)
