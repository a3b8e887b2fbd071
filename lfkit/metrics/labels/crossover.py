"""How many labels the functions that need none are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lfkit.runs.run_summary import Crossover

_SIZES = (1, 2, 5, 10, 20, 50, 100, 200)
_DRAWS = 10
_DIRECTIONS = 200
_FEWEST = 5  # of a class: fewer would be judged by one or two of them
_TRAINED_SHARE = 0.75  # the others judge


def crossover(
    features: Mapping[str, NDArray[np.floating]],
    labels: NDArray[np.int64],
    named: NDArray[np.int64],
    *,
    n_functions: int,
    is_refined: bool = False,
    random_state: int = 0,
) -> Crossover | None:
    """Compare what functions say of seeds with what fewer seeds alone would tell.

    For each number of seeds per class a shrinkage LDA is trained on as many, drawn ten
    times, and judged by the other seeds. The set of features whose curve ends highest
    is taken: the strongest plain thing.

    Parameters
    ----------
    features : name → (s, d), of the seeds' images.
    labels : (s,) their classes.
    named : (s,) the class that the functions give each, by votes that have learned from
        no seed; -1 for none.
    is_refined : True if images were looked at, too.

    Returns
    -------
    None where the seeds are too few: a class has fewer than five, or there is one
    class.
    """
    counts = np.unique(labels, return_counts=True)[1]
    if len(counts) < 2 or counts.min() < _FEWEST or not features:
        return None
    largest = max(1, int(_TRAINED_SHARE * counts.min()))
    sizes = sorted({*(size for size in _SIZES if size < largest), largest})
    curves = {
        name: _curve(_in_few_directions(rows), labels, sizes, random_state)
        for name, rows in features.items()
    }
    name = max(curves, key=lambda each: curves[each][-1])
    accuracy = float((named == labels).mean())
    return Crossover(
        functions=n_functions,
        seeds=len(labels),
        accuracy=accuracy,
        features=name,
        per_class=tuple(sizes),
        seeds_alone=tuple(curves[name]),
        worth=_worth(accuracy, sizes, curves[name]),
        is_refined=is_refined,
    )


def _curve(
    rows: NDArray[np.float64],
    labels: NDArray[np.int64],
    sizes: Sequence[int],
    random_state: int,
) -> list[float]:
    """Give the accuracy on the other seeds for each number of seeds per class."""
    classes, codes = np.unique(labels, return_inverse=True)
    found = []
    for size in sizes:
        right = []
        for draw in range(_DRAWS):
            rng = np.random.default_rng([random_state, size, draw])
            order = rng.permutation(len(labels))
            trained = np.concatenate(
                [order[codes[order] == c][:size] for c in range(len(classes))]
            )
            others = np.setdiff1d(order, trained)
            named = _named(rows[trained], codes[trained], len(classes), rows[others])
            right.append(float((named == codes[others]).mean()))
        found.append(float(np.mean(right)))
    return found


def _named(
    rows: NDArray[np.float64],
    codes: NDArray[np.int64],
    n_classes: int,
    others: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Give the class of other rows by shrinkage LDA, which is nearest mean for one."""
    means = np.array([rows[codes == c].mean(axis=0) for c in range(n_classes)])
    gaps = rows - means[codes]
    # Where the seeds drawn are copies of one another nothing varies.
    variance = max(float(rows.var(axis=0).mean()), 1e-9)
    sphere = variance * np.eye(rows.shape[1])
    within = gaps.T @ gaps / len(gaps)
    directions = np.linalg.solve((within + sphere) / 2, means.T)
    return np.asarray(
        (others @ directions - (means.T * directions).sum(axis=0) / 2).argmax(axis=1)
    )


def _in_few_directions(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """Turn standardised rows to their main directions."""
    values = np.nan_to_num(np.asarray(rows, np.float64))
    deviation = values.std(axis=0)
    values = (values - values.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    left, sizes, _ = np.linalg.svd(values, full_matrices=False)
    return np.asarray(left * sizes)[:, :_DIRECTIONS]


def _worth(
    accuracy: float, sizes: Sequence[int], curve: Sequence[float]
) -> float | None:
    """Give the labels per class at which the curve reaches it; None: beyond its end.

    In between it is taken to rise with the logarithm; below its start it gives less
    than the first number, as a share of it.
    """
    highest = np.maximum.accumulate(curve)
    if accuracy > highest[-1]:
        return None
    if accuracy <= highest[0]:
        return float(sizes[0] * accuracy / max(highest[0], 1e-9))
    # Where more seeds add nothing the first number counts.
    rises = np.flatnonzero(np.diff(highest, prepend=-1.0) > 0)
    return float(
        np.exp(np.interp(accuracy, highest[rises], np.log(np.asarray(sizes)[rises])))
    )
