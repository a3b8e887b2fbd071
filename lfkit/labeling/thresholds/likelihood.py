"""Rules that read a few numbers: how likely they are in each class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.errors import DeclarationError
from lfkit.features.feature import Feature
from lfkit.labeling.thresholds.class_rule import Rule, sure_only
from lfkit.labeling.thresholds.whitening import best_temperature, margin_cut

_MOST_NUMBERS = 8
# Gaussians have thin tails: a number far from all classes would be certain of one.
_DOUBT = 0.05


class Likelihood(Rule):
    """A Gaussian for each class, over one to eight numbers; votes are posteriors.

    Each class has its own mean and covariance, half of which is that of all classes;
    classes count alike. A twentieth of every vote is spread over the classes; the
    temperature and the abstain margin come from leave-one-out scores of the seeds.

    Parameters
    ----------
    shrink : weight of the common covariance, above 0 and up to 1.
    abstain : the share of leave-one-out seeds whose margin counts as too small.
    """

    def __init__(
        self, feature: Feature, *, shrink: float = 0.5, abstain: float = 0.0
    ) -> None:
        super().__init__(feature)
        if not 0 < shrink <= 1:
            raise DeclarationError(
                f"Likelihood needs 0 < shrink <= 1, got shrink={shrink}."
            )
        self._require_share("abstain", abstain)
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
        d = values.shape[1]
        if d > _MOST_NUMBERS:
            raise DeclarationError(
                f"Likelihood reads at most {_MOST_NUMBERS} numbers; feature "
                f"{self.feature.name!r} has {d}. Use NearestMean."
            )
        present = np.isin(classes, labels)
        self._require_seeds(present)
        members = [np.flatnonzero(labels == label) for label in classes]
        kept = np.concatenate(members)
        center, scale = values[kept].mean(axis=0), values[kept].std(axis=0)
        points = (values - center) / np.where(scale > 0, scale, 1)
        means = np.zeros((len(classes), d))
        scatters = np.zeros((len(classes), d, d))
        for position, rows in enumerate(members):
            if len(rows):
                means[position] = points[rows].mean(axis=0)
                residuals = points[rows] - means[position]
                scatters[position] = residuals.T @ residuals
        sizes = np.array([len(rows) for rows in members])
        freedom = np.asarray(len(kept) - present.sum())
        common = _common(scatters.sum(axis=0), freedom)
        whiten, offset = self._whitening(scatters, sizes, common)
        offset[~present] = -np.inf
        left_out, own = self._left_out(points, members, means, scatters)
        temperature = best_temperature(left_out, own)
        margin = margin_cut(left_out / temperature, self.abstain)
        return {
            "center": center.astype(np.float32),
            "scale": np.where(scale > 0, scale, 1).astype(np.float32),
            "means": means.astype(np.float32),
            "whiten": (whiten / np.sqrt(temperature)).astype(np.float32),
            "offset": (offset / temperature).astype(np.float32),
            "margin": np.asarray(margin, np.float32),
        }

    def _whitening(
        self,
        scatters: NDArray[np.float64],
        sizes: NDArray[np.int64],
        common: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Whiten by covariances: (c, d, d) matrices W and (c,) log determinants of W.

        A class of one seed has the common covariance.
        """
        own = scatters / np.maximum(sizes - 1, 1)[:, None, None]
        own = np.where((sizes > 1)[:, None, None], own, common)
        covariance = (1 - self.shrink) * own + self.shrink * common
        factor = np.linalg.cholesky(covariance)
        whiten = np.linalg.inv(factor)
        return whiten, np.log(np.diagonal(whiten, axis1=1, axis2=2)).sum(axis=1)

    def _left_out(
        self,
        points: NDArray[np.float64],
        members: list[NDArray[np.int64]],
        means: NDArray[np.float64],
        scatters: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Score each seed as if it had not been there: (s, c), (s,).

        A class whose only seed it is cannot be recognised: minus infinity.
        """
        rows = np.concatenate(members)
        sizes = np.array([len(m) for m in members])
        own = np.repeat(np.arange(len(members)), sizes)
        gaps = points[rows][:, None] - means  # (s, c, d)
        gap = gaps[np.arange(len(rows)), own]  # from the mean with the seed
        # Without it the mean moves away by gap / (n - 1), the scatter loses a rank.
        further = (sizes / np.maximum(sizes - 1, 1))[own, None]
        lost = (further * gap)[:, :, None] * gap[:, None, :]  # (s, d, d)
        freedom = len(rows) - (sizes > 0).sum() - (sizes[own] > 1)
        # Of the classes' common covariance too: with 5 seeds per class of 8 numbers,
        # temperatures came out at 2 where refitting gives 30.
        common = _common(scatters.sum(axis=0) - lost, freedom)
        scores = np.full((len(rows), len(members)), -np.inf)
        for position in np.flatnonzero(sizes):
            is_own = own == position
            without = scatters[position] - is_own[:, None, None] * lost
            n_left = sizes[position] - is_own  # (s,)
            whiten, offset = self._whitening(without, n_left, common)
            apart = np.where(is_own[:, None], further, 1) * gaps[:, position]
            distance = (np.einsum("sde,se->sd", whiten, apart) ** 2).sum(axis=1)
            found = offset - 0.5 * distance
            scores[:, position] = np.where(n_left > 0, found, -np.inf)
        return scores, own

    def _weigh(self, values: Any) -> Any:
        import torch

        learned = self._tensors(values)
        points = (values - learned["center"]) / learned["scale"]
        gaps = points[:, None] - learned["means"]  # (n, c, d)
        whitened = (learned["whiten"] * gaps[:, :, None]).sum(dim=3)
        scores = learned["offset"] - 0.5 * whitened.square().sum(dim=2)  # (n, c)
        proba = torch.softmax(scores, dim=1)
        known = torch.isfinite(learned["offset"]).to(proba.dtype)
        proba = (1 - _DOUBT) * proba + _DOUBT * known / known.sum()
        return sure_only(proba, scores, learned["margin"])


def _common(
    scatter: NDArray[np.float64], freedom: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Give the covariance within the classes: (..., d, d) of (...) degrees."""
    covariance = scatter / np.maximum(freedom, 1)[..., None, None]
    # A thousandth of the seeds' variance: for features that are flat.
    return covariance + 1e-3 * np.eye(scatter.shape[-1])


class CountLikelihood(Rule):
    """How often each class has no, one, two, ... of something; votes are posteriors.

    A table of the seeds' counts, with one imaginary seed per class spread over the
    counts as all seeds are. Counts are rounded; those above `most` count as `most`.

    Parameters
    ----------
    most : the highest count told apart.
    abstain : the share of leave-one-out seeds whose margin counts as too small.
    """

    def __init__(
        self, feature: Feature, *, most: int = 4, abstain: float = 0.0
    ) -> None:
        super().__init__(feature)
        if most < 1:
            raise DeclarationError(f"CountLikelihood needs most >= 1, got {most}.")
        self._require_share("abstain", abstain)
        self.most = most
        self.abstain = abstain

    def _learn(
        self,
        values: NDArray[np.float64],
        labels: NDArray[np.int64],
        *,
        classes: tuple[int, ...],
        rng: np.random.Generator,
    ) -> Mapping[str, NDArray[Any]]:
        counts = np.clip(self._check_scalar(values).round(), 0, self.most).astype(int)
        present = np.isin(classes, labels)
        self._require_seeds(present)
        table = np.zeros((len(classes), self.most + 1))
        kept = np.isin(labels, classes)
        position_of = {label: position for position, label in enumerate(classes)}
        own = np.array([position_of[int(label)] for label in labels[kept]])
        np.add.at(table, (own, counts[kept]), 1)
        spread = (table.sum(axis=0) + 1) / (table.sum() + self.most + 1)
        sizes = table.sum(axis=1, keepdims=True)
        scores = np.log((table + spread) / (sizes + 1))  # (c, most + 1)
        left_out = scores.T[counts[kept]]  # (s, c)
        seen = table[own, counts[kept]] - 1 + spread[counts[kept]]
        left_out[np.arange(len(own)), own] = np.log(seen / sizes[own, 0])
        left_out[:, ~present] = -np.inf
        scores[~present] = -np.inf
        margin = margin_cut(left_out, self.abstain)
        return {
            "scores": scores.T.astype(np.float32),
            "margin": np.asarray(margin, np.float32),
        }

    def _weigh(self, values: Any) -> Any:
        import torch

        learned = self._tensors(values)
        counts = values[:, 0].round().clamp(0, self.most).to(torch.int64)
        scores = learned["scores"][counts]  # (n, c)
        return sure_only(torch.softmax(scores, dim=1), scores, learned["margin"])
