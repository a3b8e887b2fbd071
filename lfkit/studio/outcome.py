"""What functions said of images, as arrays that travel between two processes."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.files import write_atomically
from lfkit.data.labels import Labels, wilson_interval
from lfkit.data.votes import Votes
from lfkit.labeling.analysis import LFAnalysis, conflicted_images
from lfkit.studio.next_images import disagreement, vote_counts

_ABOUT = "about"


@dataclass(frozen=True)
class FunctionFacts:
    """What is known of one labeling function beside its votes.

    Attributes
    ----------
    key : hash of the function with all it depends on; another one after an edit.
    classes : names of the classes it may vote for.
    learns : it is fitted to the seeds.
    place, source : "my_lfs.py:12", and its code.
    coverage, overlaps, conflicts : shares of the images shown.
    right, judged : right votes on seeds by a function that has not learned from them,
        and all its votes there.
    failed : images that it failed on, or a feature of it; `traceback` of the first.
    """

    name: str
    key: str
    kind: str
    doc: str
    classes: tuple[str, ...]
    learns: bool
    place: str
    source: str
    coverage: float = 0.0
    overlaps: float = 0.0
    conflicts: float = 0.0
    right: int = 0
    judged: int = 0
    failed: int = 0
    traceback: str = ""

    @property
    def accuracy(self) -> float | None:
        """The share of its votes on answers that are right; None without any."""
        return self.right / self.judged if self.judged else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the accuracy."""
        return wilson_interval(self.right, self.judged) if self.judged else None


@dataclass(frozen=True, eq=False)
class Outcome:
    """Votes and labels of some images, and what is known of the functions.

    Attributes
    ----------
    class_names : the k classes.
    functions : the m that voted; `left_out` those that could not, and why.
    rows : (r,) the images, rows of the data, ascending; the figures of functions are
        of the first `n_shown` of `shown`.
    hard : (r, m) int16 votes, -1 = none alone; `voted` (r, m) also for a set.
    counts : (r, k) how many functions name each class, parts of soft votes and sets
        among them.
    labels, confidence : (r,) the labels, -1 = none, and how sure they are.
    conflicted : (r,) images whose votes contradict one another.
    disagreement : (r,) the entropy of the vote, in nats.
    truth : (r,) classes the data knows, -1 where it does not: for scoring only.
    seed_rows, seed_labels : (s,) the answered images.
    seed_votes : (s, m) 1 = right, 0 = wrong, -1 = no vote, by functions fitted without
        that seed.
    held_rows, held_proba, held_labels : (h,), (h, k), (h,) answered images, and their
        posteriors and labels (-1 = none) by what has not learned from them.
    seed_right, seed_judged : labels of held-out seeds that come out right, and all.
    outside : a sentence for each file that defines functions and does not list them.
    networks : trained networks' features that functions read: name → key in the store.
    calls : functions x images that were evaluated for this, and not read back.
    """

    class_names: tuple[str, ...]
    functions: tuple[FunctionFacts, ...]
    rows: NDArray[np.int64]
    hard: NDArray[np.int16]
    voted: NDArray[np.bool_]
    counts: NDArray[np.float32]
    labels: NDArray[np.int64]
    confidence: NDArray[np.float32]
    conflicted: NDArray[np.bool_]
    disagreement: NDArray[np.float32]
    truth: NDArray[np.int64]
    proba: NDArray[np.float32]
    seed_rows: NDArray[np.int64]
    seed_labels: NDArray[np.int64]
    seed_votes: NDArray[np.int8]
    is_shown: NDArray[np.bool_]
    held_rows: NDArray[np.int64]
    held_proba: NDArray[np.float32]
    held_labels: NDArray[np.int64]
    left_out: Mapping[str, str] = field(default_factory=dict)
    tracebacks: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    networks: Mapping[str, str] = field(default_factory=dict)
    chosen: str = ""
    reason: str = ""
    seed_right: int = 0
    seed_judged: int = 0
    calls: int = 0
    feature_values: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the m functions."""
        return tuple(one.name for one in self.functions)

    def to_bytes(self) -> bytes:
        """Write everything as one archive of arrays."""
        arrays = {k: v for k, v in vars(self).items() if isinstance(v, np.ndarray)}
        about = {k: v for k, v in vars(self).items() if k not in arrays}
        about["functions"] = [asdict(one) for one in self.functions]
        text = json.dumps(about).encode("utf-8", "surrogatepass")
        buffer = io.BytesIO()
        arrays[_ABOUT] = np.frombuffer(text, np.uint8)
        np.savez(buffer, allow_pickle=False, **arrays)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Outcome:
        """Read what `to_bytes` wrote."""
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        text = arrays.pop(_ABOUT).tobytes().decode("utf-8", "surrogatepass")
        about: dict[str, Any] = json.loads(text)
        about["functions"] = tuple(
            FunctionFacts(**{**one, "classes": tuple(one["classes"])})
            for one in about["functions"]
        )
        for name in ("class_names", "notes", "outside"):
            about[name] = tuple(about.get(name, ()))
        return cls(**arrays, **about)

    def save(self, path: Any) -> None:
        """Write it to a file, whole or not at all."""
        write_atomically(path, self.to_bytes())


def make_outcome(
    *,
    votes: Votes,
    labels: Labels,
    rows: NDArray[np.int64],
    is_shown: NDArray[np.bool_],
    truth: NDArray[np.int64],
    class_names: tuple[str, ...],
    facts: Sequence[FunctionFacts],
    **more: Any,
) -> Outcome:
    """Count what the page shows of votes and labels.

    Parameters
    ----------
    votes, labels : of the images in `rows`, (r,) of them.
    is_shown : (r,) images that shares are counted on; others are there as seeds only.
    facts : of the m functions, without figures.
    more : fields of `Outcome` that are passed on.
    """
    said = votes.as_sets()
    analysis = LFAnalysis(said.rows(np.flatnonzero(is_shown)))
    shares = zip(
        analysis.lf_coverages().tolist(),
        analysis.lf_overlaps().tolist(),
        analysis.lf_conflicts().tolist(),
        strict=True,
    )
    seed_rows, seed_labels = votes.seed_rows, votes.seed_labels
    if seed_rows is None or seed_labels is None:
        seed_rows = seed_labels = np.zeros(0, np.int64)
    on_seeds = votes.seed_out_of_fold or votes.rows(seed_rows)
    seed_votes = np.where(on_seeds.voted, on_seeds.right(seed_labels), -1)
    held_out = labels.held_out
    filled = tuple(
        FunctionFacts(
            **{
                **asdict(one),
                "classes": one.classes,
                "coverage": coverage,
                "overlaps": overlaps,
                "conflicts": conflicts,
                "right": int((seed_votes[:, j] == 1).sum()),
                "judged": int((seed_votes[:, j] >= 0).sum()),
            }
        )
        for j, (one, (coverage, overlaps, conflicts)) in enumerate(
            zip(facts, shares, strict=True)
        )
    )
    held_at = held_labels = np.zeros(0, np.int64)
    held_proba = np.zeros((0, votes.n_classes))
    if held_out is not None and (held_out.rows >= 0).all():
        held_at, held_proba = held_out.rows, held_out.proba
        held_labels = held_out.predicted
    right = (
        0 if held_out is None else int((held_out.predicted == held_out.labels).sum())
    )
    counts = vote_counts(votes)
    return Outcome(
        class_names=class_names,
        functions=filled,
        rows=rows,
        hard=said.hard,
        voted=said.voted,
        counts=counts,
        labels=labels.labels.astype(np.int64),
        confidence=labels.proba.max(axis=1, initial=0.0).astype(np.float32),
        conflicted=conflicted_images(said),
        disagreement=disagreement(counts).astype(np.float32),
        truth=truth,
        proba=labels.proba.astype(np.float32),
        seed_rows=rows[seed_rows],
        seed_labels=np.asarray(seed_labels, np.int64),
        seed_votes=seed_votes.astype(np.int8),
        is_shown=is_shown,
        held_rows=rows[held_at],
        held_proba=held_proba.astype(np.float32),
        held_labels=held_labels.astype(np.int64),
        chosen=labels.chosen,
        reason=labels.reason,
        seed_right=right,
        seed_judged=0 if held_out is None else len(held_out.labels),
        **more,
    )
