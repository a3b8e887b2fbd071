"""RUN/image_findings.json: near-duplicates, images like no other, suspect seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from lfkit.data.image_source import ImageSource
from lfkit.data.progress import Progress
from lfkit.metrics.image_checks.looks import ImageLooks, looks_of_pixels
from lfkit.metrics.image_checks.near_duplicates import near_duplicates
from lfkit.metrics.image_checks.outliers import find_outliers
from lfkit.metrics.image_checks.suspect_seeds import find_suspects, held_out_looks
from lfkit.runs.reading import read_sealed, reading, sealed
from lfkit.runs.run import Run
from lfkit.runs.run_files import labels_key, unreadable_rows
from lfkit.runs.store import write_atomically

_REMEDY = "delete it and run `lfkit diagnose --images` again"
_SHOWN = 3  # images that a sentence names
# Different seeds that a class needs: of the digits' right seeds, 2 a class, 83 % looked
# wrong, of 3 a class 35 %, of 5 a class 6 %.
_LEAST_SEEDS = 5


@dataclass(frozen=True)
class Duplicates:
    """Images that are nearly the same.

    Attributes
    ----------
    images : their ids.
    test_images : those of the test set among them.
    has_seed : some are seeds, and some are not.
    seed_classes : names of the classes that their seeds have.
    """

    images: tuple[str, ...]
    test_images: tuple[str, ...]
    has_seed: bool
    seed_classes: tuple[str, ...]


@dataclass(frozen=True)
class Outlier:
    """An image like no other, and by how many deviations it is farther than usual."""

    image: str
    deviations: float


@dataclass(frozen=True)
class SuspectSeed:
    """A seed whose class is not what those say who have not learned from it.

    Attributes
    ----------
    label, said : its class, and the most probable one.
    probability : of its class.
    """

    image: str
    label: str
    said: str
    probability: float


@dataclass(frozen=True)
class ImageFindings:
    """What is strange about the images of a run.

    Attributes
    ----------
    duplicates : groups, the largest first.
    outliers : the strangest first.
    suspects : the least probable first.
    test : the test set that duplicates were looked for in; "" without one.
    n_seeds : how many seeds were judged.
    n_not_judged : how many were not, since too few are of their class.
    not_judged : names of these classes.
    """

    duplicates: tuple[Duplicates, ...]
    outliers: tuple[Outlier, ...]
    suspects: tuple[SuspectSeed, ...]
    test: str = ""
    n_seeds: int = 0
    n_not_judged: int = 0
    not_judged: tuple[str, ...] = ()

    def sentences(self) -> list[str]:
        """Say what was found, in English."""
        return [*self._about_duplicates(), self._about_outliers(), *self._about_seeds()]

    def _about_duplicates(self) -> list[str]:
        if not self.duplicates:
            return ["No two images are near-duplicates."]
        n = sum(len(g.images) + len(g.test_images) for g in self.duplicates)
        largest = self.duplicates[0]
        of_test = [f"{image} of {self.test}" for image in largest.test_images]
        shown = _listed([*largest.images, *of_test])
        said = [
            f"Groups of near-duplicates: {len(self.duplicates):,}, with {n:,} images; "
            f"the largest: {shown}."
        ]
        copied = [group for group in self.duplicates if group.has_seed]
        if copied:
            said.append(
                "Groups of near-duplicates with seeds and with other images: "
                f"{len(copied):,}, such as {_listed(copied[0].images)}; accuracy on "
                "these images is that of copies."
            )
        torn = [group for group in self.duplicates if len(group.seed_classes) > 1]
        if torn:
            classes = " and ".join(torn[0].seed_classes)
            said.append(
                f"Groups of near-duplicates whose seeds have different classes: "
                f"{len(torn):,}, such as {_listed(torn[0].images)} ({classes})."
            )
        leaks = [g for g in self.duplicates if g.test_images and g.images]
        if leaks:
            n_test = sum(len(group.test_images) for group in leaks)
            said.append(
                f"Near-duplicates of the run's images in {self.test}: {n_test:,}, such "
                f"as {leaks[0].test_images[0]} of {leaks[0].images[0]}; a test on them "
                "flatters."
            )
        return said

    def _about_outliers(self) -> str:
        if not self.outliers:
            return "No image is far from all others."
        shown = _listed([one.image for one in self.outliers])
        n = len(self.outliers)
        return f"Images like no other: {n:,}, the strangest first: {shown}."

    def _about_seeds(self) -> list[str]:
        said = []
        if self.n_not_judged:
            said.append(
                f"Seeds that are not judged, since their class has fewer than "
                f"{_LEAST_SEEDS} different ones, or no other class has as many: "
                f"{self.n_not_judged:,}, of {', '.join(self.not_judged)}."
            )
        if not self.n_seeds:
            return said
        if not self.suspects:
            return [f"None of the {self.n_seeds:,} seeds looks wrong.", *said]
        shown = _listed(
            [f"{one.image} ({one.label}, or {one.said}?)" for one in self.suspects]
        )
        return [
            f"Seeds that look wrong to those who have not learned from them: "
            f"{len(self.suspects):,} of {self.n_seeds:,}: {shown}. Look at them in the "
            "report: most may be right.",
            *said,
        ]


def find_in_images(
    run: Run,
    source: ImageSource,
    test: ImageSource | None = None,
    seed_opinion: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None,
    progress: Progress | None = None,
) -> ImageFindings:
    """Find near-duplicates, images like no other, and seeds that look wrong.

    By pixels, and not by features of the run: these may have learned from the seeds.

    Parameters
    ----------
    source : the run's images.
    test : images that should be none of the run's, of the same shape.
    seed_opinion : rows of seeds, (s,), and held-out posteriors of the votes on them,
        (s, k).
    """
    votes, random_state = run.votes, run.config.options.seed
    n, names = len(source), run.config.class_names
    sources = [source] if test is None else [source, test]
    both = looks_of_pixels(sources, progress)
    if progress is not None:
        progress("comparing the images", 0, 1)
    both.values[unreadable_rows(run.index)] = np.nan
    group = near_duplicates(both.values, both.grays, random_state=random_state)
    groups = [(part[part < n], part[part >= n] - n) for part in _members(group)]
    looks = ImageLooks(both.values[:n], both.rest[:n], both.grays[:n])
    rows, labels = votes.seed_rows, votes.seed_labels
    rows = np.zeros(0, np.int64) if rows is None else rows
    labels = np.zeros(0, np.int64) if labels is None else labels
    kept = np.isfinite(looks.values[rows]).all(axis=1)
    rows, labels = rows[kept], labels[kept]
    enough = _of_enough_seeds(labels, group[rows])
    judged, given = rows[enough], labels[enough]
    far, deviations = find_outliers(looks, group[:n], random_state=random_state)
    suspects, proba = _suspects(
        looks, group, judged, given, len(names), seed_opinion, random_state
    )
    return ImageFindings(
        tuple(
            _duplicates(part, other, source, test, rows, labels, names)
            for part, other in sorted(groups, key=lambda g: -len(g[0]) - len(g[1]))
        ),
        tuple(
            Outlier(source.ids[row], round(float(deviations[row]), 2))
            for row in far.tolist()
        ),
        tuple(
            SuspectSeed(
                source.ids[judged[at]],
                names[given[at]],
                names[proba[at].argmax()],
                round(float(proba[at, given[at]]), 4),
            )
            for at in suspects.tolist()
        ),
        "" if test is None else test.name,
        len(judged),
        len(rows) - len(judged),
        tuple(names[label] for label in np.unique(labels[~enough]).tolist()),
    )


def load_findings(run: Path) -> ImageFindings | None:
    """Read image_findings.json; None without one, or if labels were made anew."""
    path = run / "image_findings.json"
    if not path.exists():
        return None
    found = read_sealed(path, _REMEDY)
    if found.pop("labels", None) != labels_key(run):
        return None
    with reading(path, _REMEDY):
        return TypeAdapter(ImageFindings).validate_python(found)


def save_findings(run: Path, findings: ImageFindings) -> None:
    """Write image_findings.json."""
    held: dict[str, Any] = asdict(findings) | {"labels": labels_key(run)}
    write_atomically(run / "image_findings.json", sealed(held))


def _members(group: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """List the rows of each group of two and more."""
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    parts = np.split(order, starts[1:])
    return [part for part in parts if len(part) > 1]


def _duplicates(
    part: NDArray[np.int64],
    other: NDArray[np.int64],
    source: ImageSource,
    test: ImageSource | None,
    seed_rows: NDArray[np.int64],
    seed_labels: NDArray[np.int64],
    names: Sequence[str],
) -> Duplicates:
    is_seed = np.isin(part, seed_rows)
    classes = np.unique(seed_labels[np.isin(seed_rows, part)])
    return Duplicates(
        tuple(source.ids[row] for row in part.tolist()),
        () if test is None else tuple(test.ids[row] for row in other.tolist()),
        bool(is_seed.any() and not is_seed.all()),
        tuple(names[label] for label in classes.tolist()),
    )


def _of_enough_seeds(
    labels: NDArray[np.int64], groups: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Tell which seeds can be judged, (s,): there are enough of two classes."""
    classes = np.unique(labels)
    counts = np.asarray([len(np.unique(groups[labels == one])) for one in classes])
    enough = classes[counts >= _LEAST_SEEDS]
    return np.isin(labels, enough if len(enough) > 1 else [])


def _suspects(
    looks: ImageLooks,
    group: NDArray[np.int64],
    rows: NDArray[np.int64],
    labels: NDArray[np.int64],
    n_classes: int,
    seed_opinion: tuple[NDArray[np.int64], NDArray[np.float64]] | None,
    random_state: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    if not len(rows):
        return np.zeros(0, np.int64), np.zeros((0, n_classes))
    opinions = [
        held_out_looks(
            looks.values[rows],
            labels,
            group[rows],
            n_classes=n_classes,
            random_state=random_state,
        )
    ]
    if seed_opinion is not None and np.isin(rows, seed_opinion[0]).all():
        places = {row: at for at, row in enumerate(seed_opinion[0].tolist())}
        opinions.append(seed_opinion[1][[places[row] for row in rows.tolist()]])
    return find_suspects(labels, opinions)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
