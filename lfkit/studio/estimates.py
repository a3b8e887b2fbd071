"""How right labels are, told by the answers to random questions alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lfkit.aggregators.calibration import measure
from lfkit.data.labels import wilson_interval
from lfkit.errors import InputError


@dataclass(frozen=True)
class Estimates:
    """Accuracy and calibration of labels, from randomly asked images.

    Attributes
    ----------
    n : answers behind them.
    accuracy : share of the answers that the most probable class was right on; None
        without any.
    low, high : Wilson's 95 % interval of the accuracy.
    calibration_error : expected calibration error; None without answers. Of few
        answers it is too high: chance looks like a gap.
    confidence : mean of the probability given to the most probable class; above the
        accuracy, labels are too sure.
    """

    n: int
    accuracy: float | None
    low: float
    high: float
    calibration_error: float | None
    confidence: float | None

    def sentence(self) -> str:
        """Say it in a line.

        >>> Estimates(40, 0.9, 0.769, 0.96, 0.05, 0.93).sentence()
        '90.0 % right (76.9 to 96.0), mean confidence 93.0 %, from 40 random answers'
        """
        if self.accuracy is None or self.confidence is None:
            return "no random image has been answered yet"
        return (
            f"{self.accuracy:.1%} right ({100 * self.low:.1f} to "
            f"{100 * self.high:.1f}), mean confidence {self.confidence:.1%}, from "
            f"{self.n} random answer{'s' if self.n != 1 else ''}"
        ).replace("%", " %")


def estimates(
    proba: NDArray[np.floating],
    answers: NDArray[np.int64],
    is_random: NDArray[np.bool_],
) -> Estimates:
    """Estimate how right labels are, from the answers to random questions.

    Images that were asked about because functions disagree are harder than others:
    unless they were drawn at random, too, their answers are left out. Functions that
    are changed until they get these images right make the estimate too high.

    Parameters
    ----------
    proba : (a, k) posteriors of the answered images by what did not know the answers,
        such as those of the moment when the image was asked about.
    answers : (a,) classes that a person gave.
    is_random : (a,) True where the image was drawn at random.
    """
    if not len(proba) == len(answers) == len(is_random):
        raise InputError(
            f"{len(proba)} posteriors, {len(answers)} answers and {len(is_random)} "
            "marks of random ones must be equally many."
        )
    drawn = np.asarray(is_random, bool)
    right_class = np.asarray(answers, np.int64)[drawn]
    found = measure(np.asarray(proba, np.float64)[drawn], right_class)
    if found is None:
        return Estimates(0, None, 0.0, 1.0, None, None)
    low, high = wilson_interval(round(found.accuracy * found.n), found.n)
    return Estimates(found.n, found.accuracy, low, high, found.ece, found.confidence)
