"""RUN/scores.json: what was scored, kept with what it was scored on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from lfkit.metrics.labels.label_model_scores import LabelScores
from lfkit.metrics.metric import Protocol, Score
from lfkit.metrics.turing_test import SourceRatings
from lfkit.runs.reading import read_object, read_sealed, reading, sealed
from lfkit.runs.run_files import labels_key
from lfkit.runs.store import write_atomically

FORMAT = 2
_REMEDY = "delete it and run `lfkit evaluate` again"
_LABELS = TypeAdapter(tuple[LabelScores, ...])
_HUMAN = TypeAdapter(tuple[SourceRatings, ...])


@dataclass(frozen=True)
class ScoredSet:
    """Scores of one set of generated images.

    Attributes
    ----------
    of : key of the images and their labels.
    """

    of: str
    scores: tuple[Score, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give the scores as JSON can hold them, each with its protocol in words."""
        scores = [
            one.to_dict() | {"protocol_text": str(one.protocol)} for one in self.scores
        ]
        return {"of": self.of, "scores": scores}


@dataclass(frozen=True)
class RunScores:
    """All scores of a run.

    Attributes
    ----------
    labels : of its labels and of label models; () before any.
    generated : of sets of generated images, by name.
    human : people's ratings.
    """

    labels: tuple[LabelScores, ...] = ()
    generated: Mapping[str, ScoredSet] = field(default_factory=dict)
    human: tuple[SourceRatings, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON can hold it."""
        found: dict[str, Any] = {
            "generated": {name: one.to_dict() for name, one in self.generated.items()}
        }
        if self.labels:
            found["labels"] = {"rows": [asdict(row) for row in self.labels]}
        if self.human:
            found["human"] = [asdict(row) for row in self.human]
        return found

    def updated(self, other: RunScores) -> RunScores:
        """Add other scores; those of the same kind are replaced.

        Scores of a set of generated images join those of the same images: another
        metric or extractor takes nothing away.
        """
        sets = dict(self.generated)
        for name, found in other.generated.items():
            before = sets.get(name)
            scores = {}
            if before is not None and before.of == found.of:
                scores = {score.title: score for score in before.scores}
            scores |= {score.title: score for score in found.scores}
            sets[name] = ScoredSet(found.of, tuple(scores.values()))
        return RunScores(other.labels or self.labels, sets, other.human or self.human)


def load_scores(run: Path) -> RunScores:
    """Read scores.json; nothing without one, or if another lfkit wrote it.

    What was scored before the labels were made anew is of other labels, and left out.
    """
    path = run / "scores.json"
    if not path.exists() or read_object(path, _REMEDY).get("format") != FORMAT:
        return RunScores()
    found, key = read_sealed(path, _REMEDY), labels_key(run)
    labels = found.get("labels", {})
    with reading(path, _REMEDY):
        return RunScores(
            _LABELS.validate_python(labels["rows"]) if labels.get("of") == key else (),
            {
                name: ScoredSet(one["of"], tuple(map(_score, one["scores"])))
                for name, one in found.get("generated", {}).items()
                if one["labels"] == key
            },
            _HUMAN.validate_python(found.get("human", [])),
        )


def save_scores(run: Path, scores: RunScores) -> Path:
    """Write scores beside those that are there."""
    found = load_scores(run).updated(scores).to_dict() | {"format": FORMAT}
    key = labels_key(run)
    if "labels" in found:
        found["labels"]["of"] = key
    for one in found["generated"].values():
        one["labels"] = key
    path = run / "scores.json"
    write_atomically(path, sealed(found))
    return path


def _score(held: Mapping[str, Any]) -> Score:
    """Read what `Score.to_dict` wrote."""
    names = ("metric", "value", "better", "error", "note", "part_of")
    values = {name: held[name] for name in names}
    if values["value"] is None:  # JSON has no NaN
        values["value"] = float("nan")
    return Score(protocol=Protocol(**held["protocol"]), **values)
