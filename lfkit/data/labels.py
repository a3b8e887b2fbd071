"""Labels, the evidence they are judged by, and how right they are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfkit.data.image_source import ImageSource, content_groups
from lfkit.data.votes import ABSTAIN, Votes
from lfkit.errors import InputError

_Z = 1.959964  # two-sided 95 %


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What labels are judged by: seeds, labeled by what has learned from none of them.

    Attributes
    ----------
    rows : (s,) the seeds' row numbers; -1 where their images are not among those
        labeled.
    labels : (s,) their classes.
    proba : (s, k) posteriors on them, each by functions and models fitted without that
        seed. If `is_calibrated`, each row is calibrated by other seeds.
    predicted : (s,) the class each would have got, -1 = none.
    of : the last stage that these seeds judge: "votes", or the name of a stage of the
        refinement. Whoever changes labels after it writes new evidence, or none.
    is_calibrated : the posteriors of the labels, `Labels.proba`, were calibrated on
        these seeds, after that stage.
    temperature : of that calibration; None where there is none, or another kind.
    too_few : which seeds these are, if they do not tell how far confidence can be
        believed; "" where they do.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    proba: NDArray[np.float64]
    predicted: NDArray[np.int64]
    of: str = "votes"
    is_calibrated: bool = False
    temperature: float | None = None
    too_few: str = ""

    @property
    def accuracy(self) -> float:
        """The share of the seeds that come out right; no label counts as wrong."""
        return float((self.predicted == self.labels).mean())


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels made of votes, and perhaps refined by the images.

    Attributes
    ----------
    labels : (n,) classes, -1 = no label.
    proba : (n, k) posterior; seeds have their given class.
    is_seed : (n,) True where the label was given.
    vote_labels, vote_confidence : (n,) what the votes alone say, before refinement and
        before labels of little confidence were dropped.
    held_out : the held-out seeds that these labels, and no earlier ones, are evaluated
        on; None where there are none.
    chosen : the aggregator whose labels these are: `auto` has chosen one.
    reason : why it was chosen, in one sentence; "" where it was asked for.
    class_shares : how it got the shares of the classes: "given", "learned" from the
        votes, or "flat": equal; "" where it has none.
    warnings : sentences on votes that the aggregator is not made for.
    """

    labels: NDArray[np.int64]
    proba: NDArray[np.float64]
    is_seed: NDArray[np.bool_]
    vote_labels: NDArray[np.int64]
    vote_confidence: NDArray[np.float64]
    held_out: HeldOut | None = None
    chosen: str = ""
    reason: str = ""
    class_shares: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def on_seeds(self) -> NDArray[np.float64] | None:
        """(s, k) held-out posteriors of the seeds; None without."""
        return None if self.held_out is None else self.held_out.proba

    @property
    def seed_labels(self) -> NDArray[np.int64] | None:
        """(s,) the classes of the seeds in `on_seeds`; None without."""
        return None if self.held_out is None else self.held_out.labels

    @property
    def temperature(self) -> float | None:
        """What calibrated the posteriors, if it was a temperature."""
        return None if self.held_out is None else self.held_out.temperature

    @property
    def is_calibrated(self) -> bool:
        """Tell whether seeds have told how far confidence can be believed."""
        return self.held_out is not None and self.held_out.is_calibrated

    def rows(self, rows: slice) -> Labels:
        """Give the labels of some images, with the evidence for all."""
        own = ("labels", "proba", "is_seed", "vote_labels", "vote_confidence")
        return replace(self, **{name: getattr(self, name)[rows] for name in own})

    def relabeled(
        self,
        labels: NDArray[np.int64],
        proba: NDArray[np.float64],
        held_out: HeldOut | None,
    ) -> Labels:
        """Give other labels to the same images, with the evidence that is theirs.

        Parameters
        ----------
        held_out : of these labels; None where no seed can judge them. The evidence of
            the labels before is never kept.
        """
        return replace(self, labels=labels, proba=proba, held_out=held_out)


@dataclass(frozen=True)
class Accuracy:
    """How many labels are right, of readable images whose class is known, not given.

    Attributes
    ----------
    of_all : share of these images with the right label; no label counts as wrong.
    of_labeled : share among those that have a label; None where none has.
    n : number of these images.
    """

    of_all: float
    of_labeled: float | None
    n: int


@dataclass(frozen=True)
class PlainVote:
    """How many labels are not those of a plain vote: what a label model has changed.

    Attributes
    ----------
    covered : images with a vote; seeds are not counted.
    changed : of these, how many have another label, or none.
    ties_decided : of those changed, how many the plain vote leaves without a label.
    """

    covered: int
    changed: int
    ties_decided: int

    def sentence(self) -> str:
        """Say it; "" where nothing is changed.

        >>> PlainVote(covered=10030, changed=1234, ties_decided=400).sentence()
        '12.3 % of labels are not those of a plain vote (every function counts alike, \
copies too): 1,234 of 10,030; on 400 of them the plain vote is tied'
        """
        if not self.changed:
            return ""
        said = (
            f"{100 * self.changed / self.covered:.1f} % of labels are not those of a "
            "plain vote (every function counts alike, copies too): "
            f"{self.changed:,} of {self.covered:,}"
        )
        if not self.ties_decided:
            return said
        return f"{said}; on {self.ties_decided:,} of them the plain vote is tied"


@dataclass(frozen=True)
class Calibration:
    """How far confidence can be believed.

    Attributes
    ----------
    ece : expected calibration error of the most probable class, over bins of equally
        many images (Naeini et al. 2015): the mean distance of confidence and accuracy.
    brier : mean squared distance of the posterior and the true class, 0 to 2 (Brier
        1950).
    confidence, accuracy : their means; a confidence above the accuracy is too sure.
    n : images behind them.
    """

    ece: float
    brier: float
    confidence: float
    accuracy: float
    n: int


def score(
    labels: NDArray[np.int64], truth: NDArray[np.int64], given: NDArray[np.bool_]
) -> Accuracy | None:
    """Compare labels with the truth.

    Parameters
    ----------
    truth : (n,) -1 where unknown.
    given : (n,) images not to be scored; see `given_images`.
    """
    rows = (truth >= 0) & ~given
    if not rows.any():
        return None
    right, labeled = labels[rows] == truth[rows], labels[rows] != ABSTAIN
    of_labeled = float(right[labeled].mean()) if labeled.any() else None
    return Accuracy(float(right.mean()), of_labeled, int(rows.sum()))


def wilson_interval(hits: int, n: int) -> tuple[float, float]:
    """Give the 95 % interval of a share (Wilson 1927); (0, 1) where n is 0.

    >>> low, high = wilson_interval(8, 10)
    >>> round(low, 3), round(high, 3)
    (0.49, 0.943)
    """
    if n == 0:
        return 0.0, 1.0
    share, z = hits / n, _Z
    center = share + z * z / (2 * n)
    spread = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (center - spread) / scale), min(1.0, (center + spread) / scale)


def compare_with_plain_vote(
    labels: NDArray[np.int64], plain: NDArray[np.int64], covered: NDArray[np.bool_]
) -> PlainVote:
    """Count the labels that are not those of the majority vote.

    Parameters
    ----------
    labels, plain : (n,) classes, -1 = no label.
    covered : (n,) images to be compared: each has a vote, and none is a seed.
    """
    changed = covered & (labels != plain)
    tied = changed & (plain == ABSTAIN)
    return PlainVote(int(covered.sum()), int(changed.sum()), int(tied.sum()))


def given_images(
    source: ImageSource, votes: Votes, unreadable: Collection[int] = ()
) -> NDArray[np.bool_]:
    """Find what is not scored: every image with a seed's content or without pixels.

    Parameters
    ----------
    unreadable : rows that could not be read, beside those the source knows.
    """
    given = same_content(source.keys, votes.seed_rows)
    given[[*source.known_problems, *unreadable]] = True
    return given


def scored_images(
    source: ImageSource,
    votes: Votes,
    truth: NDArray[np.int64],
    unreadable: Collection[int] = (),
) -> NDArray[np.int64]:
    """Give the classes to score by, (n,); -1 = unknown, given or unreadable.

    Labels and baselines are scored on the same images, also on copies of one another.
    """
    return np.where(given_images(source, votes, unreadable), -1, truth)


def same_content(
    keys: NDArray[np.uint8], rows: NDArray[np.int64] | None
) -> NDArray[np.bool_]:
    """Tell which of n images have the content of one in `rows`, (n,)."""
    if rows is None:
        return np.zeros(len(keys), bool)
    _, group = content_groups(keys)
    return np.isin(group, group[rows])


def checked_labels(
    labels: ArrayLike, n_images: int | None, argument: str
) -> NDArray[np.int64]:
    """Return labels as (n,) int64; -1 is unknown, anything lower an error."""
    array = np.asarray(labels)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or n_images not in (None, len(array)):
        expected = "one label per image" if n_images is None else f"({n_images},)"
        raise InputError(f"{argument} has shape {array.shape}, expected {expected}.")
    with np.errstate(invalid="ignore"):
        whole = array.astype(np.int64)
    wrong = (whole != array) | (whole < -1)
    if wrong.any():
        raise InputError(
            f"{argument} of image {int(wrong.argmax())} is {array[wrong][0]}; labels "
            "are class numbers, or -1 for unknown."
        )
    return whole
