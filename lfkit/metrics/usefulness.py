"""Whether generated images help: the same classifier with them and without."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.errors import InputError
from lfkit.metrics.metric import MetricContext
from lfkit.metrics.oversampling import neighbors_of, oversampled, why_no_lines
from lfkit.metrics.trained_classifiers import (
    BATCH,
    Pairs,
    Recipe,
    Tested,
    relabeled,
    tested,
    trained,
)

REAL, AGAIN, BOTH = "real", "real again", "real + generated"
MADE, FRESH = "generated", "generated, fresh"
BALANCED, SMOTE = "real, balanced", "real + SMOTE"
MIRRORED, UNCHANGED = "real, mirrored", "real, not augmented"
SHORT = (REAL, AGAIN, BOTH)
ROWS = (REAL, AGAIN, BOTH, MADE, FRESH, BALANCED, SMOTE, MIRRORED, UNCHANGED)

_CLEAR = 2  # standard errors
_MOST_BYTES = 4e9  # of fresh images in memory at once


@dataclass(frozen=True, eq=False)
class GeneratedSupply:
    """Where generated images come from: a generator, or a fixed set of them.

    Attributes
    ----------
    draw : called with how many and a seed; gives at most as many.
    is_endless : another seed gives other images, as many as are wanted.
    """

    name: str
    draw: Callable[[int, int], Pairs]
    is_endless: bool


@dataclass(frozen=True)
class Difference:
    """The mean of paired differences, and its standard error (NaN of one repeat)."""

    mean: float
    error: float

    @property
    def is_clear(self) -> bool:
        """Whether it is above two standard errors, either way."""
        return abs(self.mean) > _CLEAR * self.error

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON can hold it."""
        error = None if math.isnan(self.error) else self.error
        return {"mean": self.mean, "error": error, "is_clear": self.is_clear}


def paired_difference(
    values: NDArray[np.float64], baseline: NDArray[np.float64]
) -> Difference:
    """Compare repeats, (t,), with those of a baseline that had the same seeds."""
    found = values - baseline
    n = len(found)
    error = float(found.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
    return Difference(float(found.mean()), error)


@dataclass(frozen=True, eq=False)
class Usefulness:
    """How classifiers did that learned with generated images, and without.

    Attributes
    ----------
    rows : name → figures on the held-out images, one a repeat.
    left_out : rows that could not be trained → why.
    n_real, n_unlabeled : real images with a label and without one.
    n_generated : images in each training but of `FRESH`.
    n_classes : classes that generated images are of.
    """

    rows: Mapping[str, Tested]
    left_out: Mapping[str, str]
    recipe: Recipe
    n_real: int
    n_unlabeled: int
    n_generated: int
    n_classes: int
    generator: str
    tested_on: str

    @cached_property
    def baseline(self) -> str:
        """The better one of the two classifiers that saw no generated image."""
        return max((REAL, AGAIN), key=lambda name: self.rows[name].accuracy.mean())

    def gain(self, name: str = BOTH) -> Difference:
        """Compare the accuracy of a row with that of the baseline.

        The error is that of other trainings and of other test images together.
        """
        one, other = self.rows[name], self.rows[self.baseline]
        found = paired_difference(one.accuracy, other.accuracy)
        of_images = one.right.mean(axis=0) - other.right.mean(axis=0)
        error = float(of_images.std()) / math.sqrt(one.n)
        return replace(found, error=math.hypot(found.error, error))

    @property
    def verdict(self) -> str:
        """Say in one sentence whether generated images help."""
        of, at = (self.rows[name].accuracy.mean() for name in (BOTH, self.baseline))
        return sentence(
            float(of),
            float(at),
            self.gain(),
            n_per_class=round(self.n_generated / self.n_classes),
            n_repeats=self.recipe.n_trainings,
        )

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON can hold it."""
        return {
            "verdict": self.verdict,
            "baseline": self.baseline,
            "gain": self.gain().to_dict(),
            "rows": {
                name: {
                    "accuracy": of.accuracy.tolist(),
                    "cross_entropy": of.cross_entropy.tolist(),
                    "by_class": [
                        [None if math.isnan(one) else one for one in each]
                        for each in of.by_class.tolist()
                    ],
                    "difference": self.gain(name).to_dict(),
                }
                for name, of in self.rows.items()
            },
            "left_out": dict(self.left_out),
            "generator": self.generator,
            "n_real": self.n_real,
            "n_unlabeled": self.n_unlabeled,
            "n_generated": self.n_generated,
            "tested_on": self.tested_on,
            "n_tested": self.rows[REAL].n,
            "recipe": self.recipe.details,
        }


def sentence(
    accuracy: float,
    baseline: float,
    gain: Difference,
    *,
    n_per_class: int,
    n_repeats: int,
) -> str:
    """Say in one sentence whether generated images raise accuracy."""
    of, at = f"{100 * accuracy:.1f} %", f"{100 * baseline:.1f} %"
    repeats = f"{n_repeats} repeats, ± {100 * gain.error:.1f} points"
    many = f"{n_per_class:,} generated images per class"
    if gain.is_clear and gain.mean > 0:
        return f"{many} raise accuracy from {at} to {of} ({repeats})."
    if gain.is_clear:
        return (
            f"{many} lower accuracy here, from {at} to {of} ({repeats}): leave them "
            "out."
        )
    return (
        f"{many} do not help here: accuracy is {of} with them and {at} without "
        f"({repeats}); more labels or more real images are likelier to."
    )


def usefulness(
    known: Pairs,
    generated: GeneratedSupply,
    tools: MetricContext,
    recipe: Recipe,
    *,
    n_generated: int,
    unlabeled: NDArray[np.uint8] | None = None,
    rows: Sequence[str] = SHORT,
) -> Usefulness:
    """Train the same classifier with generated images and without, and compare.

    Every row takes as many steps of as many images, from the same seeds; each repeat
    draws generated images of its own. In `real + generated` half of the images are
    real. `real again` learns, in place of the labels, what the classifier of `real`
    says of the same images (Furlanello et al. 2018, https://arxiv.org/abs/1805.04770),
    and of those without a label, as a generator has learned from them, too: a second
    training with no generated image, so the baseline is the better of the two.
    `real, balanced` has real images as often of each class as of any other: generated
    images have that too. All rows but `real, not augmented` are augmented alike.

    Parameters
    ----------
    known : real images with the labels to learn.
    tools : `test` are the held-out images.
    n_generated : images of each repeat; SMOTE's, too.
    unlabeled : (u, h, w, c) real images without a label.

    Raises
    ------
    InputError : there is nothing to learn from, or one repeat only.
    """
    assert tools.test is not None, "the caller has looked"
    if recipe.n_trainings < 2:
        raise InputError(
            f"n_trainings is {recipe.n_trainings}; the difference needs 2 repeats or "
            "more."
        )
    if not len(known):
        raise InputError("no real image has a label to learn from.")
    rows = tuple(dict.fromkeys((*SHORT, *rows)))
    reasons = {name: why_left_out(name, known, generated, recipe) for name in rows}
    left_out = {name: why for name, why in reasons.items() if why}
    rows = tuple(name for name in rows if name not in left_out)
    single, total = replace(recipe, n_trainings=1), len(rows) * recipe.n_trainings
    networks: dict[str, list[Any]] = {name: [] for name in rows}
    seen = known
    if unlabeled is not None and len(unlabeled):
        seen = known + Pairs(
            unlabeled, np.zeros((len(unlabeled), known.proba.shape[1]))
        )
    n_drawn, done = 0, 0
    for i in range(recipe.n_trainings):
        seed = tools.random_state + i
        repeat = _Repeat(known, generated, n_generated, recipe.n_steps, seed)
        n_drawn = len(repeat.made)
        for name in rows:
            now = replace(
                tools, random_state=seed, progress=_part(tools, done, total, recipe)
            )
            of = replace(single, augmentation=_AUGMENTED.get(name, "plain"))
            if name == AGAIN:
                repeat.known_again = relabeled(networks[REAL][-1], seen)
            networks[name].append(trained(of, repeat.pairs(name), 0, now, ""))
            done += 1
    return Usefulness(
        {name: tested(of, tools.test) for name, of in networks.items()},
        left_out,
        recipe,
        n_real=len(known),
        n_unlabeled=len(seen) - len(known),
        n_generated=n_drawn,
        n_classes=len(np.unique(repeat.made.proba.argmax(axis=1))),
        generator=generated.name,
        tested_on=tools.test.name,
    )


_AUGMENTED: dict[str, Any] = {MIRRORED: "mirrored", UNCHANGED: "none"}


def why_left_out(
    name: str, known: Pairs, generated: GeneratedSupply, recipe: Recipe
) -> str | None:
    """Say why a row cannot be trained, or None."""
    if name not in ROWS:
        raise InputError(f"there is no row {name!r}; choose from {', '.join(ROWS)}.")
    if name == SMOTE:
        if find_spec("imblearn") is None:
            return 'it needs imbalanced-learn; run: pip install "lfkit[bench]"'
        return why_no_lines(known.proba.argmax(axis=1), "the real images")
    if name == FRESH:
        if not generated.is_endless:
            return f"{generated.name} is a fixed set of images, not a generator"
        n_bytes = recipe.n_steps * BATCH * known.pixels[0].nbytes
        if n_bytes > _MOST_BYTES:
            return f"its images take {n_bytes / 1e9:.0f} GB; take fewer steps"
    return None


class _Repeat:
    """What the classifiers of one repeat learn from.

    Attributes
    ----------
    known_again : real images with the labels of the first classifier.
    """

    def __init__(
        self,
        known: Pairs,
        generated: GeneratedSupply,
        n_generated: int,
        n_steps: int,
        seed: int,
    ) -> None:
        self.known, self.generated, self.seed = known, generated, seed
        self.known_again, self.n_steps = known, n_steps
        self.made = generated.draw(n_generated, 2 * seed)
        if not len(self.made):
            raise InputError(f"{generated.name} has no images; generate some.")

    def pairs(self, name: str) -> Pairs:
        """Give what a row learns from."""
        known = self.known
        if name == AGAIN:
            return _at_least(self.known_again, BATCH)
        if name == BOTH:
            return _half_and_half(known, self.made)
        if name == MADE:
            return _at_least(self.made, BATCH)
        if name == FRESH:  # no image is seen twice
            return self.generated.draw(self.n_steps * BATCH, 2 * self.seed + 1)
        if name == BALANCED:
            return _at_least(_balanced(known), BATCH)
        if name == SMOTE:
            return _half_and_half(known, self._smote())
        return _at_least(known, BATCH)

    def _smote(self) -> Pairs:
        """Make as many images as the generator, as evenly of the classes."""
        k = self.known.proba.shape[1]
        labels = self.known.proba.argmax(axis=1)
        counts = np.bincount(labels, minlength=k)
        able = counts > 1  # two images have a line between them
        new = np.where(able, -(-len(self.made) // able.sum()), 0)
        return oversampled(self.known, new, neighbors_of(counts, new), self.seed)


def _part(
    tools: MetricContext, done: int, total: int, recipe: Recipe
) -> Callable[[str, int, int], None]:
    """Tell the steps of one training as a part of those of all."""
    steps, text = recipe.n_steps, f"training {total} classifiers"
    return lambda _, n, __: tools.say(text, done * steps + n, total * steps)


def _rows(pairs: Pairs, rows: NDArray[np.int64]) -> Pairs:
    return Pairs(pairs.pixels[rows], pairs.proba[rows])


def _at_least(pairs: Pairs, n: int) -> Pairs:
    """Repeat few images: the batches of all rows are as large."""
    if len(pairs) >= n:
        return pairs
    return _rows(pairs, np.arange(n) % len(pairs))


def _half_and_half(known: Pairs, added: Pairs) -> Pairs:
    """Join two kinds of images, the fewer ones repeated: half of each."""
    n = max(len(known), len(added), BATCH)
    return _at_least(known, n) + _at_least(added, n)


def _balanced(known: Pairs) -> Pairs:
    """Repeat images until every class that has any has as many."""
    labels = known.proba.argmax(axis=1)
    most = np.bincount(labels).max()
    rows = [
        np.resize(np.flatnonzero(labels == label), most) for label in np.unique(labels)
    ]
    return _rows(known, np.concatenate(rows))
