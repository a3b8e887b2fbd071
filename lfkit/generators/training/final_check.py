"""The one check at the end of every training: what cannot be images of that kind."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.votes import ABSTAIN
from lfkit.generators.plan import GeneratorPlan
from lfkit.generators.samples import Samples
from lfkit.generators.training_set import TrainingSet

BROKEN = "broken.json"  # why, beside what a broken training has left
_LOOKED_AT = 256  # images of each kind
# Shares of what real images have. Networks that have learned nothing yet, after ten
# steps of all generators, have .4 and more of it; trainings at a rate of 1 under .05,
# or they are black and white.
_FLAT, _ALIKE = 0.04, 0.1
_LEAST = 0.02  # of the range: real images that differ by less tell nothing
_EXTREME = 0.6  # of the way from the real images' share of extreme values to all
_COPIES = 0.1  # share of images unlike all others
_FAR = 0.4  # of the range, between mean colours
_LEARNED = 200  # steps after which the mean colour must have been learned


@dataclass(frozen=True)
class _Looks:
    """What images are like, as parts of the range of a pixel.

    Attributes
    ----------
    mean : (c,) colour.
    inside : standard deviation within an image, on average.
    across : standard deviation of a pixel over all images, on average.
    within : the same over the images of one class, as the classes' mean square.
    extreme : share of values at an end of the range.
    distinct : different images per image.
    """

    mean: NDArray[np.float64]
    inside: float
    across: float
    within: float
    extreme: float
    distinct: float


def what_is_broken(
    fake: NDArray[np.uint8],
    labels: NDArray[np.integer[Any]],
    real: NDArray[np.uint8],
    real_labels: NDArray[np.integer[Any]],
    *,
    n_steps: int,
) -> str | None:
    """Say in a clause why generated images cannot be images of the real ones' kind.

    Written for trainings that are plainly broken; it does not tell poor images from
    good ones, nor those of a training that was merely short.

    Parameters
    ----------
    fake, real : (n, h, w, c); of many, some are compared.
    labels, real_labels : (n,) classes; -1: no class.
    n_steps : of the training.

    Returns
    -------
    None if nothing is.
    """
    if not len(fake) or not len(real):
        return None
    now, wanted = _looks(fake, labels), _looks(real, real_labels)
    if wanted.inside > _LEAST and now.inside < _FLAT * wanted.inside:
        return f"every generated image is of one colour, {_colour(now.mean)}"
    if now.extreme > wanted.extreme + _EXTREME * (1 - wanted.extreme):
        return (
            f"{now.extreme:.0%} of the values in generated images are as dark or as "
            f"bright as can be, {wanted.extreme:.0%} in real ones"
        )
    for kind, of_fake, of_real in (
        ("", now.across, wanted.across),
        (" of a class", now.within, wanted.within),
    ):
        if of_real > _LEAST and of_fake < _ALIKE * of_real:
            return (
                f"generated images{kind} are nearly all alike: they differ by "
                f"{of_fake:.3f}, real ones by {of_real:.3f}"
            )
    if now.distinct < _COPIES and wanted.distinct > 0.5:
        n = len(_rows(fake))
        return f"{n} generated images are {round(now.distinct * n)} different ones"
    far = np.abs(now.mean - wanted.mean).max()
    if n_steps >= _LEARNED and far > _FAR:
        return (
            f"generated images are {_colour(now.mean)} on average, real ones "
            f"{_colour(wanted.mean)}"
        )
    return None


def told_of_broken(
    samples: Samples, task: TrainingSet, plan: GeneratorPlan
) -> str | None:
    """Say in a sentence why samples cannot be of the images they were learned from."""
    why = what_is_broken(
        samples.images,
        np.where(samples.proba.any(axis=1), samples.labels, ABSTAIN),
        task.images,
        np.where(task.is_labeled, task.proba.argmax(axis=1), ABSTAIN),
        n_steps=plan.n_steps,
    )
    return None if why is None else f"the training is broken: {why}; {advice(plan)}."


def why_broken(folder: Path) -> str | None:
    """Give the sentence that a plainly broken training has left in its folder."""
    try:
        return str(json.loads((folder / BROKEN).read_text())["broken"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, OSError):
        return f"the training in {folder} is broken; train it anew with --restart."


def advice(plan: GeneratorPlan) -> str:
    """Say what to do about a broken training."""
    usual, rates = type(plan), plan.rates[:2]  # of a label head it is no use
    smaller = [
        f"--set {name}={getattr(usual, name):g}"
        for name in rates
        if getattr(plan, name) > getattr(usual, name)
    ] or [f"--set {name}={getattr(plan, name) / 4:g}" for name in rates]
    return f"train anew with smaller rates: --restart {' '.join(smaller)}"


def _rows(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Choose rows all over a set of images."""
    spread = np.linspace(0, len(images) - 1, min(len(images), _LOOKED_AT))
    return spread.astype(np.int64)


def _looks(images: NDArray[np.uint8], labels: NDArray[np.integer[Any]]) -> _Looks:
    rows = _rows(images)
    seen = (images[rows] / 255).astype(np.float32)  # (n, h, w, c)
    named = np.asarray(labels)[rows]
    return _Looks(
        mean=seen.mean(axis=(0, 1, 2), dtype=np.float64),
        inside=float(seen.std(axis=(1, 2)).mean()),
        across=float(seen.std(axis=0).mean()),
        within=_within(seen, named),
        extreme=float(np.isin(images[rows], (0, 255)).mean()),
        distinct=len({images[row].tobytes() for row in rows}) / len(rows),
    )


def _within(seen: NDArray[np.floating], labels: NDArray[np.integer[Any]]) -> float:
    """Pool standard deviations within classes; 0 where no class has two images."""
    total, n = 0.0, 0
    for label in np.unique(labels[labels >= 0]):
        own = seen[labels == label]
        total += float(own.var(axis=0).mean()) * len(own)
        n += len(own) - 1
    return float(np.sqrt(total / n)) if n else 0.0


def _colour(mean: Sequence[float] | NDArray[np.float64]) -> str:
    values = [f"{value:.2f}" for value in mean]
    if max(mean) < 0.02:
        return "black"
    if min(mean) > 0.98:
        return "white"
    shown = values[0] if len(values) == 1 else f"({', '.join(values)})"
    return f"{shown} between black, 0, and white, 1"
