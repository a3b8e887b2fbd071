"""What went wrong in a run, counted per function and file, with first tracebacks."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

TIMED_OUT, CRASHED = "timed out", "crashed the process"
GAVE_UP = "gave up"  # not called: it had been killed too often
NOT_LOADED = "not loaded"  # not called: a worker could not load it
KILLED = (TIMED_OUT, CRASHED)
BY_DEFAULT = " (by the defaults of its thresholds)"  # after a function's name


class Failure(NamedTuple):
    """One function failing on one image of a block.

    Its message is empty where the store kept that of another image.
    """

    row: int
    kind: str
    message: str
    traceback: str = ""

    def moved(self, by: int) -> Failure:
        """Return the same failure, counted from further on."""
        return self._replace(row=self.row + by)


class FailureColumn:
    """One function's failures on any number of images: ten bytes each, not objects.

    Of each kind one failure is kept whole: the first with a traceback, if there is one,
    by row of the source, whatever the order of blocks.

    Parameters
    ----------
    on : (r,) rows of the source; failures count their positions here.
    """

    def __init__(self, on: NDArray[np.int64]) -> None:
        self._on = on
        self._rows = array("q")
        self._kinds = array("h")
        self._kept: dict[str, Failure] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, failures: Iterable[Failure], by: int = 0) -> None:
        """Append failures, counted from further on."""
        for failure in failures:
            found = failure.moved(by)
            kept = self._kept.get(found.kind, found)
            self._kept[found.kind] = min(kept, found, key=self._rank)
            number = [*self._kept].index(found.kind)
            self._rows.append(found.row)
            self._kinds.append(number)

    def counts(self) -> dict[str, int]:
        """Count the images of each kind."""
        numbers = np.bincount(np.asarray(self._kinds), minlength=len(self._kept))
        return dict(zip(self._kept, numbers.tolist(), strict=True))

    def first(self) -> list[Failure]:
        """Give the failure of each kind that was kept, by row of the source."""
        return by_row(self._kept.values(), self._on)

    def pack(self) -> dict[str, NDArray[Any]]:
        """Turn the failures into arrays for the store; one message is kept per kind.

        The first row of a kind is that of its message.
        """
        if not self._rows:
            return {}
        kept = self._kept.values()
        rows, kinds = np.asarray(self._rows, np.int32), np.asarray(self._kinds)
        is_kept = rows == np.asarray([failure.row for failure in kept])[kinds]
        order = np.argsort(~is_kept, kind="stable")
        return {
            "fault_rows": rows[order],
            "fault_kinds": kinds[order],
            "kinds": np.asarray([*self._kept]),
            "messages": np.asarray([failure.message for failure in kept]),
            "tracebacks": np.asarray([failure.traceback for failure in kept]),
        }

    @classmethod
    def unpack(
        cls, arrays: Mapping[str, NDArray[Any]], on: NDArray[np.int64]
    ) -> FailureColumn:
        """Read failures back from the store's arrays."""
        found = cls(on)
        if "fault_rows" in arrays:
            found._rows.frombytes(arrays["fault_rows"].astype(np.int64).tobytes())
            found._kinds.frombytes(arrays["fault_kinds"].astype(np.int16).tobytes())
            found._kept = {failure.kind: failure for failure in _with_message(arrays)}
        return found

    def _rank(self, failure: Failure) -> tuple[bool, bool, int]:
        row = int(self._on[failure.row])
        return not failure.message, not failure.traceback, row


@dataclass
class FaultsOf:
    """One function's failures.

    Attributes
    ----------
    counts : kind → number of images.
    examples : kind → (image id, message, traceback) of its first image.
    """

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, tuple[str, str, str]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """The number of images it failed on."""
        return sum(self.counts.values())


@dataclass
class Report:
    """What `LFApplier.apply` reports beside the votes.

    Attributes
    ----------
    faults : function or feature name → its failures.
    problems : image id → why it could not be read.
    left_out : function name → why it did not run at all.
    tracebacks : function name → where its fit failed, for those left out.
    notes : what the user should know of functions beside their faults.
    n_calls : labeling functions x images evaluated now, not read from the store.
    n_feature_values : features x images evaluated now.
    """

    faults: dict[str, FaultsOf] = field(default_factory=lambda: defaultdict(FaultsOf))
    problems: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    tracebacks: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    n_calls: int = 0
    n_feature_values: int = 0

    def add(self, name: str, failures: FailureColumn, ids: Sequence[str]) -> None:
        """Note a function's failures; `ids` are those of all images."""
        found = self.faults[name]
        found.counts.update(failures.counts())
        for failure in failures.first():
            example = (ids[failure.row], failure.message, failure.traceback)
            found.examples.setdefault(failure.kind, example)

    def add_unseeded(self, other: Report) -> None:
        """Add what failed only when functions voted by their thresholds' defaults."""
        for name, found in other.faults.items():
            if name not in self.faults or self.faults[name].counts != found.counts:
                self.faults[f"{name}{BY_DEFAULT}"] = found
        self.notes += [
            f"{name}{BY_DEFAULT}: {why}"
            for name, why in other.left_out.items()
            if name not in self.left_out
        ]
        self.problems |= other.problems
        self.n_calls += other.n_calls
        self.n_feature_values += other.n_feature_values

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON-ready values."""
        return {
            "functions": {
                name: {
                    kind: {
                        "images": found.counts[kind],
                        "first_image": found.examples[kind][0],
                        "message": found.examples[kind][1],
                        "traceback": found.examples[kind][2],
                    }
                    for kind in found.counts
                }
                for name, found in self.faults.items()
            },
            "images": self.problems,
            "left_out": self.left_out,
            "left_out_tracebacks": self.tracebacks,
            "notes": self.notes,
        }


def first_failure(
    failures: Mapping[str, Sequence[Failure]],
) -> tuple[str, Failure] | None:
    """Find the failure that strict mode stops at: the earliest image's."""
    found = [
        (name, f) for name, several in failures.items() for f in several if f.message
    ]
    return min(found, key=lambda pair: (pair[1].row, pair[0]), default=None)


def by_row(failures: Iterable[Failure], rows: NDArray[np.int64]) -> list[Failure]:
    """Give failures by row of the source, not by their place among `rows`."""
    return [failure._replace(row=int(rows[failure.row])) for failure in failures]


def pack(failures: Iterable[Failure], on: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Turn failures into arrays for the store; one message is kept per kind."""
    column = FailureColumn(on)
    column.add(failures)
    return column.pack()


def unpack(arrays: Mapping[str, NDArray[Any]]) -> list[Failure]:
    """Read failures back from the store's arrays; one of each kind has a message."""
    if "fault_rows" not in arrays:
        return []
    kinds, numbers = arrays["kinds"].tolist(), arrays["fault_kinds"].tolist()
    whole = {(failure.row, failure.kind): failure for failure in _with_message(arrays)}
    return [
        whole.get((row, kinds[number]), Failure(row, kinds[number], ""))
        for row, number in zip(arrays["fault_rows"].tolist(), numbers, strict=True)
    ]


def _with_message(arrays: Mapping[str, NDArray[Any]]) -> list[Failure]:
    """Give the failure of each kind whose message the store has."""
    first = np.unique(arrays["fault_kinds"], return_index=True)[1]
    told = (arrays[name].tolist() for name in ("kinds", "messages", "tracebacks"))
    rows = arrays["fault_rows"][first].tolist()
    return [Failure(*each) for each in zip(rows, *told, strict=True)]
