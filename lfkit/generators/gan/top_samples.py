"""Which of many generated images a step learns from."""

from __future__ import annotations

import torch


def top_scoring(
    scores: torch.Tensor, factor: int, classes: torch.Tensor | None = None
) -> torch.Tensor:
    """Choose one in `factor` images, those of the highest scores, in their order.

    Xie & Huang 2019 (ALCG), section 3.4; with classes, each keeps its share: what fools
    the discriminator best is mostly of few classes.

    Parameters
    ----------
    scores : (n,), n a multiple of `factor`.
    classes : (n,) integers; each class keeps one in `factor` of its own images, rounded
        down, and what is missing then comes from the best of all. None: whatever their
        classes.

    Returns
    -------
    (n / factor,) rows, ascending.
    """
    n = len(scores)
    best = scores.argsort(descending=True, stable=True)
    if classes is not None:
        by_class = classes[best].argsort(stable=True)
        order = classes[best][by_class]
        first = torch.searchsorted(order, order)
        size = torch.searchsorted(order, order, right=True) - first
        is_kept = torch.arange(n, device=scores.device) - first < size // factor
        # Kept ones come first, by score within their class; then all others, by score.
        kept = torch.zeros_like(is_kept)
        kept[by_class] = is_kept
        best = best[(~kept).to(torch.int8).argsort(stable=True)]
    return best[: n // factor].sort().values
