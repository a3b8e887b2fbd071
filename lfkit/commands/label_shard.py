"""One shard: images in, a Parquet file of labels out, and beside it what was done."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lfkit.commands.labeler import Labeler, LabelerAnswer, load_labeler
from lfkit.data.image_source import ImageSource
from lfkit.data.places import inside, read_place, size_of, write_place
from lfkit.data.progress import Progress
from lfkit.data.shards import Shard, open_shard
from lfkit.data.vote_patterns import patterns_table
from lfkit.data.votes import ABSTAIN, Votes
from lfkit.errors import LfkitError
from lfkit.labeling.engine.function_evaluator import cpu_count
from lfkit.runs.json_text import to_json

FORMAT = 1


@dataclass(frozen=True)
class ShardFiles:
    """The files of a shard, by their place in the folder of results."""

    out: str
    shard: Shard

    @property
    def labels(self) -> str:
        """The labels."""
        return inside(self.out, f"part-{self.shard.index:05d}.parquet")

    @property
    def patterns(self) -> str:
        """Which votes occur together."""
        return inside(self.out, f"part-{self.shard.index:05d}.patterns.parquet")

    @property
    def done(self) -> str:
        """What was done; written last."""
        return inside(self.out, f"part-{self.shard.index:05d}.json")

    def read_done(self, labeler: str) -> dict[str, Any] | None:
        """Give what was done, if these labels are whole and by this labeler."""
        if size_of(self.done) is None:
            return None
        try:
            found = json.loads(read_place(self.done))
            own = (found["format"], found["labeler"], found["shard"])
            if own != (FORMAT, labeler, self.shard.identity):
                return None
            files = ((inside(self.out, k), v) for k, v in found["files"].items())
            whole = all(size_of(place) == held["bytes"] for place, held in files)
        except (ValueError, KeyError, TypeError, LfkitError):
            return None  # it is labeled again
        return found if whole else None


@dataclass
class ShardTask:
    """Labels shards; an engine takes it to where it runs.

    Parameters
    ----------
    labeler, trust_code : as `load_labeler` takes them.
    hash : of the labeler, which must be the same everywhere.
    out : folder or URL of the results.
    n_workers : processes for per-image functions, and threads that decode.
    progress : told images done; in this process only.
    """

    labeler: str
    trust_code: bool
    hash: str
    out: str
    votes: bool = False
    patterns: bool = False
    lf_timeout: float | None = None
    n_workers: int | None = None
    home: str = field(default_factory=os.getcwd)
    progress: Progress | None = None
    _loaded: Labeler | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "progress": None, "_loaded": None}

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of the labeler; () before it is loaded."""
        return () if self._loaded is None else self._loaded.notes

    def open(self) -> None:
        """Load the labeler."""
        if os.getcwd() != self.home and os.path.isdir(self.home):
            os.chdir(self.home)  # paths are relative to where the command was called
        if self._loaded is None:
            loaded = load_labeler(Path(self.labeler), trust_code=self.trust_code)
            if loaded.hash != self.hash:
                raise LfkitError(
                    f"{self.labeler} is another labeler here than where the command "
                    "was called; give a folder that all machines share."
                )
            self._loaded = loaded

    def __call__(self, shard: Shard) -> dict[str, Any]:
        """Label a shard and write its files; give what the last one says."""
        began = time.perf_counter()
        labeler = self._loaded
        assert labeler is not None, "the engine has opened the task"
        source = open_shard(
            shard,
            labeler.record.shape,
            labeler.record.white,
            self.n_workers or cpu_count(),
        )
        answer = labeler.label(
            source,
            n_workers=self.n_workers,
            lf_timeout=self.lf_timeout,
            progress=self.progress,
        )
        files = ShardFiles(self.out, shard)
        written = {files.labels: labels_table(labeler, source, answer, self.votes)}
        if self.patterns:
            meta = {"labeler": labeler.hash, "class_names": labeler.class_names}
            votes = answer.votes.rows(np.flatnonzero(_readable(source, answer)))
            written[files.patterns] = patterns_table(votes, meta)
        held = {}
        for place, table in written.items():
            data = _parquet(table)
            write_place(place, data)
            held[os.path.basename(place)] = {
                "bytes": len(data),
                "blake2b": hashlib.blake2b(data, digest_size=16).hexdigest(),
            }
        done = {
            "format": FORMAT,
            "name": shard.name,
            "shard": shard.identity,
            "labeler": labeler.hash,
            "files": held,
            **_counts(labeler, source, answer),
            "seconds": round(time.perf_counter() - began, 3),
        }
        write_place(files.done, to_json(done, indent=1).encode())
        return done


def labels_table(
    labeler: Labeler, source: ImageSource, answer: LabelerAnswer, with_votes: bool
) -> pa.Table:
    """Give a shard's labels as labels.parquet of a run has them.

    An image that cannot be read has no label and no probabilities, and a problem.
    """
    labels, names = answer.labels, pa.array(labeler.class_names, pa.string())
    lost = ~_readable(source, answer)
    unlabeled = labels.labels == ABSTAIN
    confidence = labels.proba.max(axis=1, initial=0.0)
    columns: dict[str, Any] = {
        "image_id": pa.array(source.ids, pa.string()),
        "label": names.take(pa.array(labels.labels, pa.int32(), mask=unlabeled)),
        "confidence": pa.array(confidence, pa.float32(), mask=unlabeled),
    }
    for j, name in enumerate(labeler.class_names):
        columns[f"p_{name}"] = pa.array(labels.proba[:, j], pa.float32(), mask=lost)
    problems = answer.report.problems
    columns["problem"] = pa.array([problems.get(i) for i in source.ids], pa.string())
    if with_votes:
        for j, name in enumerate(answer.votes.names):
            columns[f"vote_{name}"] = pa.array(answer.votes.hard[:, j], pa.int16())
        columns["set_votes"] = _sets(answer.votes)
    return pa.table(columns)


def _sets(votes: Votes) -> pa.Array:
    """Give the votes for several classes of each image: function → class numbers."""
    found: list[list[tuple[str, list[int]]]] = [[] for _ in range(len(votes))]
    if votes.allowed is not None:
        for row, j in np.argwhere(votes.allowed.any(axis=2)).tolist():
            classes = np.flatnonzero(votes.allowed[row, j]).tolist()
            found[row].append((votes.names[j], classes))
    return pa.array(found, pa.map_(pa.string(), pa.list_(pa.int16())))


def _readable(source: ImageSource, answer: LabelerAnswer) -> NDArray[np.bool_]:
    problems = answer.report.problems
    return np.asarray([name not in problems for name in source.ids], bool)


def _counts(
    labeler: Labeler, source: ImageSource, answer: LabelerAnswer
) -> dict[str, Any]:
    """Count images, labels and faults."""
    given = answer.labels.labels
    counted = np.bincount(given[given >= 0], minlength=len(labeler.class_names))
    faults = answer.report.faults.items()
    return {
        "images": len(source),
        "labeled": int(counted.sum()),
        "unreadable": len(answer.report.problems),
        "classes": dict(zip(labeler.class_names, counted.tolist(), strict=True)),
        "faults": {name: dict(sorted(one.counts.items())) for name, one in faults},
        "left_out": dict(answer.report.left_out),
    }


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, write_page_checksum=True)
    return bytes(sink.getvalue().to_pybytes())
