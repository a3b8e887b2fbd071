"""Whether votes alone can tell how good their functions are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lfkit.aggregators.inference.pattern_sample import priority_sample
from lfkit.data.votes import Patterns

LEAST_NAMERS = 3
WEAK_CONDITION = 30.0
# Functions in each half of the moments, and patterns: more would only take longer.
_MOST_FUNCTIONS, _MOST_ROWS = 100, 2**13
_ABOVE_NOISE = 1.2


@dataclass(frozen=True)
class Identifiability:
    """What second moments of the votes show of the classes.

    Accuracies follow from votes alone if three independent functions inform on every
    class (Allman, Matias & Rhodes 2009, https://arxiv.org/abs/0809.5032).

    Attributes
    ----------
    n_namers : how many independent functions name each class; dependent ones count
        once.
    rank : dimensions in which the votes of one half of the functions go with those of
        the other, the constant one included: how many classes can be told apart.
    condition : how much weaker the k-th dimension is than the second; None where there
        is none.
    n_unipolar : functions that name one class only.
    unipolar_classes : classes that no other functions name.
    """

    n_namers: tuple[int, ...]
    rank: int
    condition: float | None
    n_unipolar: int
    unipolar_classes: tuple[int, ...]

    def sentences(self, class_names: Sequence[str]) -> list[str]:
        """Return the findings in plain English."""
        found = []
        few = [
            (name, n)
            for name, n in zip(class_names, self.n_namers, strict=True)
            if 0 < n < LEAST_NAMERS
        ]
        if few:
            listed = ", ".join(f"{name!r} ({n})" for name, n in few)
            found.append(
                f"Fewer than {LEAST_NAMERS} independent functions name {listed}: votes "
                "alone cannot tell how accurate they are; write more, or give seeds."
            )
        k = len(class_names)
        if self.rank < k and k > 1:
            found.append(
                "Without seeds the votes tell "
                + (
                    "no class from another"
                    if self.rank == 1
                    else f"classes apart as if there were {self.rank}, not {k}"
                )
                + ": functions that vote on the same images do not agree on more. "
                "Seeds help, or more functions that name the same classes."
            )
        elif self.condition is not None and self.condition > WEAK_CONDITION:
            found.append(
                f"The votes tell some classes barely apart: the weakest contrast is "
                f"{self.condition:.0f} times weaker than the strongest."
            )
        if self.unipolar_classes:
            everything = len(self.unipolar_classes) == k
            names = ", ".join(repr(class_names[c]) for c in self.unipolar_classes)
            found.append(
                f"Only one-class functions name {'any class' if everything else names}"
                ": silence is the only vote against it, so use an aggregator that "
                "counts silence, as all do but the votes that are merely added up."
            )
        return found


def identifiability(
    patterns: Patterns,
    lf_classes: Sequence[Sequence[int]],
    groups: Sequence[Sequence[int]],
) -> Identifiability:
    """Judge whether the functions' accuracies follow from their votes.

    Parameters
    ----------
    patterns : of hard votes.
    lf_classes : the classes each function names.
    groups : positions of functions that depend on each other.
    """
    k, m = patterns.votes.n_classes, patterns.votes.n_functions
    unit = np.arange(m)  # dependent functions are one unit
    for group in groups:
        unit[list(group)] = group[0]
    namers: list[set[int]] = [set() for _ in range(k)]
    several: set[int] = set()
    for j, classes in enumerate(lf_classes):
        for label in classes:
            namers[label].add(int(unit[j]))
        if len(set(classes)) > 1:
            several.update(classes)
    values = _contrasts(patterns, lf_classes, unit)
    noise = _noise(patterns, values.noise_dimensions)
    n_seen = int(np.count_nonzero(values.sizes > _ABOVE_NOISE * noise))
    weakest = k - 2
    return Identifiability(
        n_namers=tuple(len(found) for found in namers),
        rank=min(k, 1 + n_seen),
        condition=float(values.sizes[0] / values.sizes[weakest])
        if 0 <= weakest < n_seen
        else None,
        n_unipolar=sum(len(set(classes)) == 1 for classes in lf_classes),
        unipolar_classes=tuple(c for c in range(k) if namers[c] and c not in several),
    )


@dataclass(frozen=True, eq=False)
class _Contrasts:
    """Singular values of the halves' correlations, and the halves' dimensions."""

    sizes: NDArray[np.float64]
    noise_dimensions: tuple[int, int]


def _noise(patterns: Patterns, dimensions: tuple[int, int]) -> float:
    """Return the largest singular value that independent halves would show."""
    # Of p x q correlations of n independent draws: (Davidson & Szarek 2001).
    n = min(patterns.counts.sum(), max(len(patterns.counts), _MOST_ROWS))
    return float((np.sqrt(dimensions[0]) + np.sqrt(dimensions[1])) / np.sqrt(max(n, 1)))


def _contrasts(
    patterns: Patterns, lf_classes: Sequence[Sequence[int]], unit: NDArray[np.int64]
) -> _Contrasts:
    """Correlate the votes of one half of the functions with those of the other."""
    sample = priority_sample(patterns, _MOST_ROWS)
    votes, k = sample.votes, patterns.votes.n_classes
    total = sample.counts.sum()
    # Neighbours in this order name the same classes, and go to different halves.
    keys = [
        (tuple(sorted(set(c))), patterns.votes.names[j])
        for j, c in enumerate(lf_classes)
    ]
    order = sorted(range(len(keys)), key=lambda j: keys[j])
    half_of: dict[int, int] = {}
    halves: tuple[list[int], list[int]] = ([], [])
    for j in order:
        half = half_of.setdefault(int(unit[j]), len(half_of) % 2)
        halves[half].append(j)
    if not total or not halves[0] or not halves[1]:
        return _Contrasts(np.zeros(0), (0, 0))
    shares = sample.counts / total
    sides = [
        _standardised(
            votes.hard[:, half[:: -(-len(half) // _MOST_FUNCTIONS)]], k, shares
        )
        for half in halves
    ]
    sizes = np.linalg.svd((sides[0].T @ sides[1]).astype(np.float64), compute_uv=False)
    return _Contrasts(sizes, (sides[0].shape[1], sides[1].shape[1]))


def _standardised(
    hard: NDArray[np.int16], k: int, shares: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return indicators of votes, whitened per function: (u, symbols)."""
    columns = []
    for c in range(k):
        said = (hard == c).astype(np.float32)
        mean = shares @ said
        often = mean > 0
        centred = (said[:, often] - mean[often]) / np.sqrt(mean[often])
        columns.append(centred)
    weight = np.sqrt(shares).astype(np.float32)[:, None]
    return np.asarray(np.concatenate(columns, axis=1) * weight, np.float32)
