"""Rules that draw one line: these classes beyond it, the others before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.errors import DeclarationError
from lfkit.features.feature import Feature
from lfkit.labeling.thresholds.class_rule import Rule
from lfkit.labeling.thresholds.threshold import purest_cut
from lfkit.labeling.thresholds.whitening import best_temperature, whitened_means

# Imaginary seeds beyond the cut: with few real ones no class is certain.
_PSEUDO_SEEDS = 2.0
# Of the class means, as in NearestMean.
_TRIM, _SHRINK = 0.1, 0.3


class OneVsRest(Rule):
    """Some classes lie beyond a cut; what else lies there, the seeds tell.

    Where the feature passes the cut, the vote is the classes' share of the seeds that
    pass it, as in ADP's (CVPR 2018) labeling functions 1 and 2, whose leaves are tables
    of class weights; elsewhere it abstains. The cut is `BestPrecision`'s. A feature of
    several numbers is first made one: the log odds of the claimed classes against all
    others, by whitened class means, for each seed by means fitted without it.

    Parameters
    ----------
    claims : the classes beyond the cut; the function may declare more, for what else
        lies there.
    side : "above" or "below"; of one number only.
    min_recall : the least share of the claimed classes' seeds that must pass.
    """

    def __init__(
        self,
        feature: Feature,
        claims: Iterable[int],
        *,
        side: str = "above",
        min_recall: float = 0.3,
    ) -> None:
        super().__init__(feature)
        if side not in ("above", "below"):
            raise DeclarationError(
                f"OneVsRest's side must be 'above' or 'below', got {side!r}."
            )
        if not 0 < min_recall <= 1:
            raise DeclarationError(
                f"OneVsRest needs 0 < min_recall <= 1, got {min_recall}."
            )
        if not isinstance(claims, Iterable):
            raise DeclarationError(
                f"OneVsRest's claims is {claims!r}; give a list: claims=[{claims!r}]."
            )
        self.claims = tuple(claims)
        self.side = side
        self.min_recall = min_recall

    def _learn(
        self,
        values: NDArray[np.float64],
        labels: NDArray[np.int64],
        *,
        classes: tuple[int, ...],
        rng: np.random.Generator,
    ) -> Mapping[str, NDArray[Any]]:
        beyond = sorted(set(self.claims) - set(classes))
        if beyond:
            raise DeclarationError(
                f"OneVsRest of feature {self.feature.name!r} claims class {beyond[0]}, "
                f"which the function does not declare: its classes are {classes}."
            )
        claimed = np.isin(labels, self.claims)
        if not claimed.any():
            raise DeclarationError(_no_seeds(self, self.claims))
        if values.shape[1] == 1:
            sign = -1.0 if self.side == "below" else 1.0
            score = sign * values[:, 0]
            learned: dict[str, NDArray[Any]] = {"sign": np.asarray(sign, np.float32)}
        elif self.side == "below":
            raise DeclarationError(
                f"OneVsRest(side='below') needs a feature with one number per image; "
                f"{self.feature.name!r} has {values.shape[1]}."
            )
        else:
            score, learned = _log_odds(values, labels, self.claims)
        cut = purest_cut(score, claimed, self.min_recall)
        passed = labels[score > cut]
        counts = np.array([(passed == label).sum() for label in classes])
        present = np.isin(classes, labels)
        shares = counts + _PSEUDO_SEEDS * present / present.sum()
        return {
            **learned,
            "cut": np.asarray(cut, np.float32),
            "shares": (shares / shares.sum()).astype(np.float32),
        }

    def _weigh(self, values: Any) -> Any:
        learned = self._tensors(values)
        passed = _score(values, learned) > learned["cut"]
        return passed[:, None] * learned["shares"]


class Gate(Rule):
    """A gate: the image may be one of the function's declared classes.

    A function that tells trousers from dresses should be silent about bags. Multiply
    its weights by the gate's, which are 1 or 0. It passes the share `recall` of the
    declared classes' seeds, by log odds against all other classes as in `OneVsRest`.

    Parameters
    ----------
    recall : the share of the declared classes' seeds that pass, above 0 and up to 1.
    """

    def __init__(self, feature: Feature, *, recall: float = 0.8) -> None:
        super().__init__(feature)
        if not 0 < recall <= 1:
            raise DeclarationError(f"Gate needs 0 < recall <= 1, got {recall}.")
        self.recall = recall

    def _learn(
        self,
        values: NDArray[np.float64],
        labels: NDArray[np.int64],
        *,
        classes: tuple[int, ...],
        rng: np.random.Generator,
    ) -> Mapping[str, NDArray[Any]]:
        declared = np.isin(labels, classes)
        if not declared.any():
            raise DeclarationError(_no_seeds(self, classes))
        score, learned = _log_odds(values, labels, classes)
        cut = np.quantile(score[declared], 1 - self.recall, method="lower")
        return {**learned, "cut": np.asarray(cut, np.float32)}

    def _weigh(self, values: Any) -> Any:
        """Give (n, 1): 1 passes, 0 does not."""
        learned = self._tensors(values)
        return (_score(values, learned) >= learned["cut"])[:, None].to(values.dtype)


def _no_seeds(rule: Rule, classes: tuple[int, ...]) -> str:
    return (
        f"{type(rule).__name__} of feature {rule.feature.name!r} finds no seed image "
        f"for classes {classes}; give seed labels of them."
    )


def _log_odds(
    values: NDArray[np.float64], labels: NDArray[np.int64], claims: tuple[int, ...]
) -> tuple[NDArray[np.float64], dict[str, NDArray[Any]]]:
    """Learn log odds of the claimed classes; give those of the seeds, left out: (s,).

    Infinite where all seeds are of the claimed classes.
    """
    classes = tuple(np.unique(labels).tolist())
    found = whitened_means(values, labels, classes=classes, trim=_TRIM, shrink=_SHRINK)
    temperature = best_temperature(found.left_out, found.own)
    claimed = np.isin(classes, claims)
    left_out = found.left_out / temperature
    score = np.empty(len(labels))
    score[np.argsort(labels, kind="stable")] = _odds(left_out, claimed)
    return score, {
        "weights": (found.weights / temperature).astype(np.float32),
        "bias": (found.bias / temperature).astype(np.float32),
        "claimed": claimed,
    }


def _odds(scores: NDArray[np.float64], claimed: NDArray[np.bool_]) -> Any:
    if claimed.all():
        return np.full(len(scores), np.inf)
    from scipy.special import logsumexp  # here: loading it takes long

    return logsumexp(scores[:, claimed], axis=1) - logsumexp(
        scores[:, ~claimed], axis=1
    )


def _score(values: Any, learned: Mapping[str, Any]) -> Any:
    """Give the number that is compared with the cut: (n,)."""
    import torch

    if "sign" in learned:
        return learned["sign"] * values[:, 0]
    scores = values @ learned["weights"] + learned["bias"]  # (n, classes with seeds)
    claimed = learned["claimed"]
    if bool(claimed.all()):
        return torch.full_like(scores[:, 0], torch.inf)
    inside, outside = scores[:, claimed], scores[:, ~claimed]
    return torch.logsumexp(inside, dim=1) - torch.logsumexp(outside, dim=1)
