"""The contract of a format of labeled images, and what its members share."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lfkit.data.files import make_folder
from lfkit.data.image_source import ImageSource
from lfkit.data.png import png
from lfkit.data.progress import Progress
from lfkit.data.votes import Votes
from lfkit.errors import DataError

_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class ImagesToExport:
    """Images, and what they were labeled.

    Attributes
    ----------
    labels : (n,) classes; -1 = no label.
    proba : (n, k) how probable each class is.
    votes : what each function said, (n, m) classes or sets of them.
    is_seed : (n,) True where the label was given.
    unreadable : rows without pixels; no format takes them in.
    """

    source: ImageSource
    labels: NDArray[np.int64]
    proba: NDArray[np.float64]
    votes: Votes
    class_names: Sequence[str]
    is_seed: NDArray[np.bool_]
    unreadable: Sequence[int] = ()

    @property
    def rows(self) -> NDArray[np.int64]:
        """The images that can be read."""
        return np.setdiff1d(np.arange(len(self.labels)), [*self.unreadable])

    def name(self, row: int) -> str | None:
        """Give the label's name; None without a label."""
        label = int(self.labels[row])
        return None if label < 0 else self.class_names[label]

    def confidence(self, row: int) -> float | None:
        """Give how probable the label is; None without a label."""
        label = int(self.labels[row])
        return None if label < 0 else round(float(self.proba[row, label]), 4)

    def agreement(self, row: int) -> float | None:
        """Give the share of the votes that name the label; None without either."""
        voted, label = self.votes.voted[row], int(self.labels[row])
        if not voted.any() or label < 0:
            return None
        named = self.votes.hard[row] == label
        if self.votes.allowed is not None:
            named |= self.votes.allowed[row, :, label]
        return round(float(named[voted].mean()), 4)

    def said(self, row: int) -> dict[str, str]:
        """Give function → the class that it named, or "one or another"."""
        return {
            self.votes.names[column]: " or ".join(
                self.class_names[label] for label in self.votes.named(row, column)
            )
            for column in np.flatnonzero(self.votes.voted[row]).tolist()
        }

    def margin(self, row: int) -> float:
        """Give how far the most probable class is before the second."""
        first, second = np.sort(np.append(self.proba[row], 0.0))[-1:-3:-1]
        return round(float(first - second), 4)


class Picture(NamedTuple):
    """One image as a file: its row, its bytes, and the ending of its name."""

    row: int
    data: bytes
    ending: str


class LabelFormat(ABC):
    """One format of labeled images.

    Attributes
    ----------
    ending : of the file that is written, in the place of one of that name; "" means a
        folder, which must be new or empty: who reads it would take what lies there
        already for a part of it.
    hint : how it is read; `{out!r}` stands for its place.
    """

    ending: ClassVar[str] = ""
    hint: ClassVar[str] = ""

    def write(
        self, out: Path, images: ImagesToExport, progress: Progress | None = None
    ) -> list[str]:
        """Write images and labels; returns what a user should know, in sentences."""
        if self.ending and out.suffix.lower() != self.ending:
            raise DataError(f"{out} does not end in {self.ending}; give such a name.")
        if out.is_dir() and (self.ending or any(out.iterdir())):
            raise DataError(
                f"{out} is a folder that is not empty; give a new name, or delete it."
            )
        if not self.ending and out.exists() and not out.is_dir():
            raise DataError(f"{out} is a file; give the name of a new folder.")
        make_folder(out.parent)
        # Whole or not at all: a call that was stopped leaves nothing that looks done.
        partial = out.with_name(f".{out.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.unlink(missing_ok=True)
        if not self.ending:
            partial.mkdir()
        told = self._write(partial, images, progress)
        os.replace(partial, out)
        told += [self.hint.format(out=str(out.absolute()))] if self.hint else []
        if lost := len(images.unreadable):
            what = (
                "images that cannot be read are"
                if lost > 1
                else ("image that cannot be read is")
            )
            told.append(f"{lost:,} {what} left out.")
        return told

    @abstractmethod
    def _write(
        self, out: Path, images: ImagesToExport, progress: Progress | None
    ) -> list[str]:
        """Write the files; returns what a user should know."""


def pictures(images: ImagesToExport, progress: Progress | None) -> Iterator[Picture]:
    """Give each image as a file: its own if it has one, else a PNG of its pixels."""
    source, rows = images.source, images.rows
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        paths = [source.path(int(row)) for row in some]
        drawn = some[[path is None for path in paths]]
        pngs = map(png, source.read(drawn).pixels if len(drawn) else [])
        for row, path in zip(some.tolist(), paths, strict=True):
            if path is None:
                yield Picture(row, next(pngs), ".png")
            else:
                yield Picture(row, Path(path).read_bytes(), Path(path).suffix.lower())
        if progress is not None:
            progress("writing images", start + len(some), len(rows))


def number_names(n: int) -> list[str]:
    """Give n names that every file system takes, in order: 000, 001, and so on."""
    width = len(str(max(n - 1, 1)))
    return [f"{row:0{width}d}" for row in range(n)]
