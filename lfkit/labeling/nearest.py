"""Rules that vote for the class whose seed images look most alike.

Both learn from a few seed images per class and turn a feature into one weight per
declared class: `NearestNorm` is the rule printed in the paper, `NearestMean` the one
that works.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.errors import DeclarationError
from lfkit.features.feature import Feature, image
from lfkit.labeling.thresholds import Threshold

_LARGEST_EXPONENT = 60.0


class NearestRule(Threshold):
    """A threshold whose value is a rule: feature values in, class weights out."""

    def __init__(self, feature: Feature, trim: float) -> None:
        super().__init__(feature)
        if not 0 <= trim < 0.5:
            raise DeclarationError(
                f"{type(self).__name__} needs 0 <= trim < 0.5, got trim={trim}."
            )
        self.trim = trim

    @property
    def value(self) -> Threshold:
        """The fitted rule itself: call it with the feature's values."""
        if self.learned is None:
            raise DeclarationError(
                f"{type(self).__name__} of feature {self.feature.name!r} has not been "
                "fitted; it needs seed labels."
            )
        return self.with_feature(image)  # a worker process need not load the feature

    def __call__(self, values: Any) -> Any:
        """Weigh the declared classes.

        Parameters
        ----------
        values : (n, ...) tensor, or one image's number or array.

        Returns
        -------
        (n, classes) tensor of weights, or (classes,) array for one image; a row of
        zeros abstains.
        """
        import torch

        if isinstance(values, torch.Tensor):
            return self._weigh(values.reshape(len(values), -1).to(torch.float32))
        row = torch.as_tensor(np.asarray(values, dtype=np.float32)).reshape(1, -1)
        return self._weigh(row)[0].numpy()

    @abstractmethod
    def _weigh(self, values: Any) -> Any: ...


class NearestNorm(NearestRule):
    """The paper's rule: the class whose mean L2 norm is nearest to the image's.

    ADP (Pal & Balasubramanian, CVPR 2018), section 4.2 and appendix C, labeling
    functions 3 and 4: per class, the alpha-trimmed mean of the feature's norm over a
    random subset of its seed images. The norm forgets the feature's direction, so
    expect accuracies near .2 where `NearestMean` has .6.

    Parameters
    ----------
    trim : the share trimmed at each end (the paper's alpha).
    n_per_class : at most this many random seed images per class; 20 in the paper.
    """

    def __init__(
        self, feature: Feature, *, trim: float = 0.1, n_per_class: int = 20
    ) -> None:
        super().__init__(feature, trim)
        if n_per_class < 1:
            raise DeclarationError(
                f"NearestNorm needs n_per_class >= 1, got {n_per_class}."
            )
        self.n_per_class = n_per_class

    def _learn(
        self,
        values: NDArray[np.float64],
        labels: NDArray[np.int64],
        *,
        classes: tuple[int, ...],
        rng: np.random.Generator,
    ) -> Mapping[str, NDArray[Any]]:
        norms = np.linalg.norm(values, axis=1)
        means = np.full(len(classes), np.inf)  # a class without seeds is never nearest
        for position, label in enumerate(classes):
            rows = np.flatnonzero(labels == label)
            if len(rows) > self.n_per_class:
                rows = rng.choice(rows, self.n_per_class, replace=False)
            if len(rows):
                means[position] = trimmed_mean(norms[rows, None], self.trim)[0]
        _require_seeds(self, np.isfinite(means))
        return {"mean_norms": means.astype(np.float32)}

    def _weigh(self, values: Any) -> Any:
        import torch

        assert self.learned is not None
        means = torch.as_tensor(self.learned["mean_norms"], device=values.device)
        gaps = (torch.linalg.vector_norm(values, dim=1)[:, None] - means).abs()
        nearest = gaps.argmin(dim=1)
        return torch.nn.functional.one_hot(nearest, len(means)).to(torch.float32)


class NearestMean(NearestRule):
    """The class whose mean feature vector is nearest, after within-class whitening.

    The classes' means are trimmed per coordinate; the pooled within-class covariance
    is shrunk towards its mean variance; probabilities come from a temperature fitted
    on leave-one-out scores of the seeds, and images whose two best classes are closer
    than the seeds' `abstain` quantile get no vote.

    Parameters
    ----------
    trim : the share trimmed at each end of every coordinate.
    shrink : weight of the mean variance in the covariance, above 0 and up to 1.
    abstain : the share of leave-one-out seeds whose margin counts as too small.
    """

    def __init__(
        self,
        feature: Feature,
        *,
        trim: float = 0.1,
        shrink: float = 0.3,
        abstain: float = 0.2,
    ) -> None:
        super().__init__(feature, trim)
        if not 0 < shrink <= 1:
            raise DeclarationError(
                f"NearestMean needs 0 < shrink <= 1, got shrink={shrink}."
            )
        if not 0 <= abstain < 1:
            raise DeclarationError(
                f"NearestMean needs 0 <= abstain < 1, got abstain={abstain}."
            )
        self.shrink = shrink
        self.abstain = abstain

    def _learn(
        self,
        values: NDArray[np.float64],
        labels: NDArray[np.int64],
        *,
        classes: tuple[int, ...],
        rng: np.random.Generator,
    ) -> Mapping[str, NDArray[Any]]:
        members = [np.flatnonzero(labels == label) for label in classes]
        present = np.array([len(rows) > 0 for rows in members])
        _require_seeds(self, present)
        kept = np.concatenate(members)  # seeds of other classes teach nothing here
        own = np.repeat(np.arange(len(classes)), [len(rows) for rows in members])
        origin = values[kept].mean(axis=0)
        points = values[kept] - origin  # (s, d)
        means = np.zeros((len(classes), points.shape[1]))
        left_out = np.zeros_like(points)  # each class mean without the seed itself
        # Around plain means: only of those does a downdate remove all trace of a seed
        # (around trimmed ones, temperatures came out at 0.1 where refitting gives 24).
        residuals = np.zeros_like(points)
        for position in np.flatnonzero(present):
            rows = np.flatnonzero(own == position)
            means[position] = trimmed_mean(points[rows], self.trim)
            residuals[rows] = points[rows] - points[rows].mean(axis=0)
            for row in rows:
                others = rows[rows != row]
                left_out[row] = (
                    trimmed_mean(points[others], self.trim) if len(others) else 0.0
                )
        scores = self._leave_one_out(points, own, means, left_out, residuals)
        scores[:, ~present] = -np.inf
        temperature = _best_temperature(scores, own)
        cut = _margin_cut(scores / temperature, self.abstain)
        whitened = _apply_precision(means, residuals, self.shrink)  # (classes, d)
        weights = whitened.T / temperature
        bias = -(0.5 * (means * whitened).sum(axis=1) / temperature + origin @ weights)
        bias[~present] = -np.inf
        return {
            "weights": weights.astype(np.float32),
            "bias": bias.astype(np.float32),
            "margin": np.asarray(cut, np.float32),
        }

    def _leave_one_out(
        self,
        points: NDArray[np.float64],
        own: NDArray[np.int64],
        means: NDArray[np.float64],
        left_out: NDArray[np.float64],
        residuals: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Score each seed by means and covariance that have not seen it: (s, classes).

        The covariance without seed i is a rank-one downdate, so one whitening serves
        all seeds (Sherman-Morrison). Scores are minus half the squared distances.
        """
        s, k = len(points), len(means)
        sizes = np.bincount(own, minlength=k)[own].astype(np.float64)
        stacked = np.concatenate([points, means, left_out, residuals])
        precise = _apply_precision(stacked, residuals, self.shrink)
        p_points, p_means, p_left, p_res = np.split(precise, [s, s + k, 2 * s + k])
        # The squared length of x_i - mean_c, and how far it leans on residual i.
        length = (
            (points * p_points).sum(1)[:, None]
            - 2 * points @ p_means.T
            + (means * p_means).sum(1)
        )
        lean = (residuals * p_points).sum(1)[:, None] - residuals @ p_means.T
        rows = np.arange(s)
        gap = points - left_out
        length[rows, own] = (gap * (p_points - p_left)).sum(1)
        lean[rows, own] = (gap * p_res).sum(1)
        share = (1 - self.shrink) / s * sizes / np.maximum(sizes - 1, 1)
        room = 1 - share * (residuals * p_res).sum(1)
        correction = share / np.maximum(room, 1e-6)
        return -0.5 * (length + correction[:, None] * lean**2)

    def _weigh(self, values: Any) -> Any:
        import torch

        assert self.learned is not None
        device = values.device
        weights = torch.as_tensor(self.learned["weights"], device=device)
        bias = torch.as_tensor(self.learned["bias"], device=device)
        scores = values @ weights + bias  # (n, classes)
        proba = torch.softmax(scores, dim=1)
        if scores.shape[1] == 1:
            return proba
        best = scores.topk(2, dim=1).values
        sure = (best[:, 0] - best[:, 1]) >= float(self.learned["margin"])
        return torch.where(sure[:, None], proba, torch.zeros_like(proba))


def trimmed_mean(values: NDArray[np.float64], trim: float) -> NDArray[np.float64]:
    """Average rows per coordinate without the `trim` share at each end: (r, d) → (d,).

    >>> trimmed_mean(np.array([[0.0], [1.0], [2.0], [3.0], [100.0]]), 0.2)
    array([2.])
    """
    cut = int(trim * len(values))
    if cut == 0:
        return values.mean(axis=0)
    return np.sort(values, axis=0)[cut : len(values) - cut].mean(axis=0)


def _require_seeds(rule: NearestRule, present: NDArray[np.bool_]) -> None:
    needed = min(2, len(present))
    if present.sum() < needed:
        raise DeclarationError(
            f"{type(rule).__name__} of feature {rule.feature.name!r} finds seed images "
            f"for {int(present.sum())} of its {len(present)} classes; it needs at "
            f"least {needed}."
        )


def _apply_precision(
    vectors: NDArray[np.float64], residuals: NDArray[np.float64], shrink: float
) -> NDArray[np.float64]:
    """Multiply (r, d) vectors by the inverse of the shrunk within-class covariance.

    shrink * mean variance * I + (1 - shrink) * residuals'residuals / s. With more
    coordinates than seeds the s x s form (Woodbury) is the cheap one.
    """
    s, d = residuals.shape
    ridge = shrink * max(float((residuals**2).sum()) / (s * d), 1e-12)
    share = (1 - shrink) / s
    if d <= s:
        covariance = ridge * np.eye(d) + share * residuals.T @ residuals
        return np.linalg.solve(covariance, vectors.T).T
    if share == 0:
        return vectors / ridge
    gram = residuals @ residuals.T + ridge / share * np.eye(s)
    inner = np.linalg.solve(gram, residuals @ vectors.T)  # (s, r)
    return (vectors - inner.T @ residuals) / ridge


def _best_temperature(scores: NDArray[np.float64], own: NDArray[np.int64]) -> float:
    """Find the temperature with the least leave-one-out negative log likelihood."""
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(scores))

    def loss(log_temperature: float) -> float:
        scaled = scores / np.exp(log_temperature)
        top = scaled.max(axis=1)
        log_sum = np.log(np.exp(scaled - top[:, None]).sum(axis=1)) + top
        return float(np.minimum(log_sum - scaled[rows, own], _LARGEST_EXPONENT).mean())

    found = minimize_scalar(loss, bounds=(-2.0, 8.0), method="bounded")
    return float(np.exp(found.x))


def _margin_cut(scores: NDArray[np.float64], abstain: float) -> float:
    if abstain == 0 or scores.shape[1] < 2:
        return 0.0
    top = np.sort(scores, axis=1)[:, -2:]
    margins = top[:, 1] - top[:, 0]
    finite = margins[np.isfinite(margins)]
    return float(np.quantile(finite, abstain)) if len(finite) else 0.0
