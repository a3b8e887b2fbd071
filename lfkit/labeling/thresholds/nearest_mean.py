"""Rules that vote for the class whose seed images look most alike.

Both learn from a few seed images per class and turn a feature into one weight per
declared class: `NearestNorm` is the rule printed in the paper, `NearestMean` the one
that works.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.errors import DeclarationError
from lfkit.features.feature import Feature
from lfkit.labeling.thresholds.class_rule import Rule, sure_only
from lfkit.labeling.thresholds.whitening import (
    best_temperature,
    margin_cut,
    trimmed_mean,
    whitened_means,
)


class NearestNorm(Rule):
    """The paper's rule: the class whose mean L2 norm is nearest to the image's.

    ADP (Pal & Balasubramanian, CVPR 2018), section 4.2 and appendix C, labeling
    functions 3 and 4: per class, the alpha-trimmed mean of the feature's norm over a
    random subset of its seed images. The norm forgets the feature's direction, so
    expect accuracies near .2 where `NearestMean` has .6.

    Parameters
    ----------
    trim : the share trimmed at each end (the paper's alpha).
    n_per_class : at most this many random seed images per class; 20 in the paper.
    abstain : the share of leave-one-out seeds whose margin counts as too small.
    soft : False votes for one class, as printed; True for a distribution, softmax of
        minus the differences at a temperature fitted on leave-one-out seeds ("in
        practice we fit a nonlinear function to get a probabilistic output").
    """

    def __init__(
        self,
        feature: Feature,
        *,
        trim: float = 0.1,
        n_per_class: int = 20,
        abstain: float = 0.0,
        soft: bool = False,
    ) -> None:
        super().__init__(feature)
        self._require_share("trim", trim, most=0.5)
        self._require_share("abstain", abstain)
        if n_per_class < 1:
            raise DeclarationError(
                f"NearestNorm needs n_per_class >= 1, got {n_per_class}."
            )
        self.trim = trim
        self.n_per_class = n_per_class
        self.abstain = abstain
        self.soft = soft

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
        chosen: list[NDArray[np.int64]] = []
        for position, label in enumerate(classes):
            rows = np.flatnonzero(labels == label)
            if len(rows) > self.n_per_class:
                rows = rng.choice(rows, self.n_per_class, replace=False)
            if len(rows):
                means[position] = trimmed_mean(norms[rows, None], self.trim)[0]
            chosen.append(rows)
        self._require_seeds(np.isfinite(means))
        left_out, own = self._left_out(norms, means, chosen)
        temperature = best_temperature(left_out, own)
        margin = margin_cut(left_out, self.abstain)
        return {
            "mean_norms": means.astype(np.float32),
            "temperature": np.asarray(temperature, np.float32),
            "margin": np.asarray(margin, np.float32),
        }

    def _left_out(
        self,
        norms: NDArray[np.float64],
        means: NDArray[np.float64],
        chosen: list[NDArray[np.int64]],
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Score each seed, its own class by a mean without it: (s, classes), (s,)."""
        scores, own = [], []
        for position, rows in enumerate(chosen):
            for row in rows:
                found = -np.abs(means - norms[row])
                others = rows[rows != row]
                found[position] = -np.inf
                if len(others):
                    mean = trimmed_mean(norms[others, None], self.trim)[0]
                    found[position] = -abs(mean - norms[row])
                scores.append(found)
                own.append(position)
        return np.stack(scores), np.asarray(own)

    def _weigh(self, values: Any) -> Any:
        import torch

        learned = self._tensors(values)
        means = learned["mean_norms"]
        scores = -(torch.linalg.vector_norm(values, dim=1)[:, None] - means).abs()
        if self.soft:
            weights = torch.softmax(scores / learned["temperature"], dim=1)
        else:
            nearest = scores.argmax(dim=1)
            weights = torch.nn.functional.one_hot(nearest, len(means)).to(torch.float32)
        return sure_only(weights, scores, learned["margin"])


class NearestMean(Rule):
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
        super().__init__(feature)
        self._require_share("trim", trim, most=0.5)
        if not 0 < shrink <= 1:
            raise DeclarationError(
                f"NearestMean needs 0 < shrink <= 1, got shrink={shrink}."
            )
        self._require_share("abstain", abstain)
        self.trim = trim
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
        self._require_seeds(np.isin(classes, labels))
        found = whitened_means(
            values, labels, classes=classes, trim=self.trim, shrink=self.shrink
        )
        temperature = best_temperature(found.left_out, found.own)
        margin = margin_cut(found.left_out / temperature, self.abstain)
        return {
            "weights": (found.weights / temperature).astype(np.float32),
            "bias": (found.bias / temperature).astype(np.float32),
            "margin": np.asarray(margin, np.float32),
        }

    def _weigh(self, values: Any) -> Any:
        import torch

        learned = self._tensors(values)
        scores = values @ learned["weights"] + learned["bias"]  # (n, classes)
        return sure_only(torch.softmax(scores, dim=1), scores, learned["margin"])
