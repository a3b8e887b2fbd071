"""What people said of images in the human Turing test of a report."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from lfkit.errors import DataError

_COLUMNS = ("item", "source", "image_quality", "label_match")
_LOWEST, _HIGHEST = 0.0, 10.0
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Rating:
    """What one person said of one image.

    Attributes
    ----------
    source : the generator's name, or "real".
    image_quality : how real it looks, 0 to 10.
    label_match : how well the label fits, 0 to 10.
    """

    item: str
    source: str
    image_quality: float
    label_match: float


@dataclass(frozen=True)
class MeanRating:
    """A mean and its 95 % interval, by Student's t.

    The interval ends where the scale does. One rating leaves all of the scale open.
    """

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class SourceRatings:
    """What people said of one generator, or of the real images.

    Attributes
    ----------
    n : ratings behind the means.
    """

    source: str
    n: int
    image_quality: MeanRating
    label_match: MeanRating


def read_ratings(path: Path) -> list[Rating]:
    """Read the CSV that the human Turing test of `lfkit report` gives to download.

    Pal & Balasubramanian (2018), https://arxiv.org/abs/1803.05137, table 5.
    """
    try:
        # A spreadsheet that saves it again may put a mark before the first column.
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or ()
            missing = [name for name in _COLUMNS if name not in columns]
            if missing:
                raise DataError(
                    f"{path} has no column {', '.join(missing)}; it has "
                    f"{', '.join(columns) or 'none'}. Expected {', '.join(_COLUMNS)}, "
                    "as the report's human Turing test writes them."
                )
            ratings = [
                _rating(row, f"{path}, line {reader.line_num}") for row in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path} cannot be read ({error}); expected a CSV with the columns "
            f"{', '.join(_COLUMNS)}."
        ) from error
    if not ratings:
        raise DataError(f"{path} has no ratings; expected at least one line of them.")
    return ratings


def summarize_ratings(ratings: Sequence[Rating]) -> list[SourceRatings]:
    """Give means and intervals per source, by name, with "real" last.

    Ratings are taken as independent: many by the same person make intervals too narrow.

    >>> ratings = [Rating("a", "gan", 8, 9), Rating("b", "gan", 6, 9)]
    >>> [found] = summarize_ratings(ratings)
    >>> found.n, found.image_quality.mean, str(found.label_match)
    (2, 7.0, '9.00 (9.00 to 9.00)')
    """
    by_source: dict[str, list[Rating]] = {}
    for rating in ratings:
        by_source.setdefault(rating.source, []).append(rating)
    return [
        SourceRatings(
            source,
            len(own),
            _mean_of([rating.image_quality for rating in own]),
            _mean_of([rating.label_match for rating in own]),
        )
        for source, own in sorted(
            by_source.items(), key=lambda pair: (pair[0] == "real", pair[0])
        )
    ]


def _rating(row: dict[str, str | None], where: str) -> Rating:
    source = (row["source"] or "").strip()
    if not source:
        raise DataError(
            f"{where}: source is empty; expected a generator's name, or real."
        )
    return Rating(
        row["item"] or "",
        source,
        _number(row, "image_quality", where),
        _number(row, "label_match", where),
    )


def _number(row: dict[str, str | None], column: str, where: str) -> float:
    text = row[column] or ""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    # Written so that NaN fails too.
    if not _LOWEST <= value <= _HIGHEST:
        raise DataError(
            f"{where}: {column} is {text!r}; expected a number from 0 to 10."
        )
    return value


def _mean_of(values: list[float]) -> MeanRating:
    mean, n = fmean(values), len(values)
    if n == 1:
        return MeanRating(mean, _LOWEST, _HIGHEST)
    from scipy.stats import t

    half = float(t.ppf((1 + _CONFIDENCE) / 2, n - 1)) * stdev(values) / n**0.5
    return MeanRating(mean, max(mean - half, _LOWEST), min(mean + half, _HIGHEST))
