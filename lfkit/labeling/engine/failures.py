"""What went wrong in a run, counted per function and file, with first tracebacks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

TIMED_OUT, CRASHED = "timed out", "crashed the process"
GAVE_UP = "gave up"  # not called: it had been killed too often
NOT_LOADED = "not loaded"  # not called: a worker could not load it
KILLED = (TIMED_OUT, CRASHED)


class Failure(NamedTuple):
    """One function failing on one image of a block."""

    row: int
    kind: str
    message: str
    traceback: str = ""

    def moved(self, by: int) -> Failure:
        """Return the same failure, counted from further on."""
        return self._replace(row=self.row + by)


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

    def add(self, name: str, failures: Sequence[Failure], ids: Sequence[str]) -> None:
        """Count a function's failures in a block; `ids` are the block's images."""
        found = self.faults[name] if failures else FaultsOf()
        for failure in failures:
            found.counts[failure.kind] += 1
            if failure.kind not in found.examples:
                where = ids[failure.row]
                example = (where, failure.message, failure.traceback)
                found.examples[failure.kind] = example

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
    found = [(name, f) for name, several in failures.items() for f in several]
    return min(found, key=lambda pair: (pair[1].row, pair[0]), default=None)


def pack(failures: Sequence[Failure]) -> dict[str, NDArray[Any]]:
    """Turn failures into arrays for the store; one message is kept per kind."""
    if not failures:
        return {}
    kinds = list(dict.fromkeys(failure.kind for failure in failures))
    number = {kind: j for j, kind in enumerate(kinds)}
    first: dict[str, Failure] = {}
    for failure in failures:
        kept = first.get(failure.kind)
        if kept is None or (not kept.traceback and failure.traceback):
            first[failure.kind] = failure
    return {
        "fault_rows": np.asarray([f.row for f in failures], np.int32),
        "fault_kinds": np.asarray([number[f.kind] for f in failures], np.int16),
        "kinds": np.asarray(kinds),
        "messages": np.asarray([first[kind].message for kind in kinds]),
        "tracebacks": np.asarray([first[kind].traceback for kind in kinds]),
    }


def unpack(arrays: Mapping[str, NDArray[Any]]) -> list[Failure]:
    """Read failures back from the store's arrays."""
    if "fault_rows" not in arrays:
        return []
    kinds, messages = arrays["kinds"].tolist(), arrays["messages"].tolist()
    traces = arrays["tracebacks"].tolist()
    return [
        Failure(int(row), kinds[j], messages[j], traces[j])
        for row, j in zip(
            arrays["fault_rows"], arrays["fault_kinds"].tolist(), strict=True
        )
    ]
