"""The main job in one call: data and labeling functions in, a run folder out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.datasets import open_images
from lfkit.errors import DataError, DeclarationError
from lfkit.floors import find_floors
from lfkit.images import ImageSource
from lfkit.labeling.applier import LFApplier
from lfkit.labeling.loading import load_lfs
from lfkit.labels import aggregate, given_images, make_aggregator
from lfkit.report.contact_sheet import contact_sheet
from lfkit.run import (
    LFRecord,
    RunConfig,
    load_images,
    save_config,
    save_foreign_votes,
    save_images,
    save_labels,
    versions,
)
from lfkit.seeds import GivenLabels, draw_seeds, read_labels
from lfkit.store import RunStore, write_atomically
from lfkit.summary import summarize
from lfkit.vote_files import VoteFile, read_votes
from lfkit.votes import Votes

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Request:
    """What `lfkit apply` was asked; each field is an option of the command.

    Attributes
    ----------
    data : a named data set, folder or file.
    specs : where the labeling functions are; empty if `votes_file` is given.
    out : the run folder.
    size : (height, width) to resize every image to.
    lf_timeout : seconds; None waits for ever.
    """

    data: str
    out: Path
    specs: tuple[str, ...] = ()
    votes_file: Path | None = None
    kinds: tuple[str, ...] = ()
    seed_labels: Path | None = None
    seeds_per_class: int | None = None
    seed: int = 0
    aggregator: str = "majority-vote"
    class_balance: tuple[float, ...] | None = None
    size: tuple[int, int] | None = None
    color: str | None = None
    strict: bool = False
    lf_timeout: float | None = 30.0
    floors: bool = True
    sheet: bool = True


@dataclass(frozen=True, eq=False)
class _Classes:
    """The classes of a run, and the data's true labels in their numbering."""

    names: tuple[str, ...]
    truth: NDArray[np.int64]
    notes: tuple[str, ...]


def label_data(request: Request, progress: Progress | None = None) -> dict[str, Any]:
    """Do what `lfkit apply` does; returns the content of summary.json.

    What is computed is kept in `request.out`: the same call goes on from there.
    """
    started = time.perf_counter()
    aggregator = make_aggregator(request.aggregator, request.class_balance)
    loaded = None
    if request.votes_file is None:
        loaded = load_lfs(request.specs, kinds=request.kinds)
    source = open_images(
        request.data,
        size=request.size,
        color=request.color,
        known=load_images(request.out),
        progress=None
        if progress is None
        else lambda done, total: progress("reading the files", done, total),
    )
    if loaded is None:
        return _label_by_foreign_votes(request, source, started)
    declared = [label for lf in loaded.lfs for label in lf.classes or ()]
    classes = _reconcile(source, loaded.class_names, max(declared, default=0) + 1)
    aggregator.checked_balance(len(classes.names))  # before the work, not after it
    seeds = _seeds(request, source, classes)
    applier = LFApplier(
        loaded.lfs,
        n_classes=len(classes.names),
        lf_timeout=request.lf_timeout,
        strict=request.strict,
    )
    store = RunStore(request.out)
    votes = applier.apply(
        source,
        seed_rows=seeds.rows if len(seeds.rows) else None,
        seed_labels=seeds.labels if len(seeds.rows) else None,
        random_state=request.seed,
        store=store,
        progress=progress,
    )
    report = applier.report_
    _write(request, source, classes, seeds, votes, report.problems, applier)
    write_atomically(
        request.out / "faults.json", json.dumps(report.to_dict(), indent=1).encode()
    )
    summary = _summarize(request, source, classes, votes, applier)
    summary["notes"] = [*classes.notes, *seeds.notes, *_remarks(votes)]
    summary["unreadable"] = len(report.problems)
    summary["problems"] = dict(list(report.problems.items())[:20])
    summary["left_out"] = report.left_out
    summary["faults"] = {
        name: {"total": found.total, "kinds": dict(found.counts)}
        for name, found in sorted(
            report.faults.items(), key=lambda item: -item[1].total
        )
    }
    summary["lf_calls"] = report.n_calls
    summary["feature_values"] = report.n_feature_values
    if request.floors:
        found = find_floors(
            source,
            votes,
            classes.truth,
            store,
            applier.feature_keys_,
            random_state=request.seed,
            progress=progress,
        )
        summary["floors"] = [vars(floor) for floor in found]
    return _finish(request, summary, started)


def _label_by_foreign_votes(
    request: Request, source: ImageSource, started: float
) -> dict[str, Any]:
    assert request.votes_file is not None
    k = None if source.class_names is None else len(source.class_names)
    file = read_votes(request.votes_file, k)
    file = _in_order_of(source, file, request.votes_file)
    classes = _reconcile(source, file.class_names, file.votes.n_classes)
    seeds = _seeds(request, source, classes)
    votes = Votes(
        file.votes.hard,
        file.votes.names,
        len(classes.names),
        soft=file.votes.soft,
        seed_rows=seeds.rows if len(seeds.rows) else None,
        seed_labels=seeds.labels if len(seeds.rows) else None,
    )
    save_foreign_votes(request.out, votes)
    problems = {source.ids[row]: why for row, why in source.known_problems.items()}
    _write(request, source, classes, seeds, votes, problems, None)
    summary = _summarize(request, source, classes, votes, None)
    summary["notes"] = [*classes.notes, *seeds.notes]
    summary["unreadable"] = len(problems)
    summary |= {"problems": {}, "left_out": {}, "faults": {}, "floors": []}
    return _finish(request, summary, started)


def _in_order_of(source: ImageSource, file: VoteFile, path: Path) -> VoteFile:
    """Check that a vote file is about these images; put its rows in their order."""
    if len(file.votes) != len(source):
        raise DataError(
            f"{path} has votes on {len(file.votes)} images, {source.name} has "
            f"{len(source)}; give one row per image."
        )
    if file.ids is None or list(file.ids) == list(source.ids):
        return file
    row_of = {name: row for row, name in enumerate(file.ids)}
    missing = [name for name in source.ids if name not in row_of]
    if missing:
        raise DataError(
            f"{path} has no votes on image {missing[0]!r}; its image_id column starts "
            f"with {file.ids[0]!r}."
        )
    rows = np.asarray([row_of[name] for name in source.ids], np.int64)
    return VoteFile(file.votes.rows(rows), class_names=file.class_names)


def _reconcile(
    source: ImageSource, declared: tuple[str, ...] | None, least: int
) -> _Classes:
    """Bring the data's class names and the functions' CLASSES together, by name."""
    truth = source.labels
    if truth is None:
        truth = np.full(len(source), -1, np.int64)
    if declared is None:
        names = source.class_names or tuple(str(label) for label in range(least))
        if least > len(names):
            raise DeclarationError(
                f"a labeling function votes for class {least - 1}, but {source.name} "
                f"has the classes 0..{len(names) - 1} ({', '.join(names)})."
            )
        return _Classes(tuple(names), np.asarray(truth, np.int64), ())
    if source.class_names is None or source.class_names == declared:
        return _Classes(declared, np.asarray(truth, np.int64), ())
    number = {name: label for label, name in enumerate(declared)}
    mapped = np.asarray([number.get(name, -1) for name in source.class_names] + [-1])
    strange = [name for name in source.class_names if name not in number]
    notes: tuple[str, ...] = ()
    if strange:
        notes = (
            f"{source.name} has classes that CLASSES does not name "
            f"({', '.join(strange[:5])}{', …' if len(strange) > 5 else ''}); their "
            "images are labeled, not scored",
        )
    return _Classes(declared, mapped[truth].astype(np.int64), notes)


def _seeds(request: Request, source: ImageSource, classes: _Classes) -> GivenLabels:
    if request.seed_labels is not None:
        return read_labels(request.seed_labels, source.ids, classes.names)
    if request.seeds_per_class is not None:
        return draw_seeds(
            source, classes.truth, classes.names, request.seeds_per_class, request.seed
        )
    nothing = np.zeros(0, np.int64)
    return GivenLabels(nothing, nothing)


def _write(
    request: Request,
    source: ImageSource,
    classes: _Classes,
    seeds: GivenLabels,
    votes: Votes,
    problems: dict[str, str],
    applier: LFApplier | None,
) -> None:
    """Write images.parquet and run.json."""
    save_images(request.out, source.table(), problems, classes.truth)
    records: tuple[LFRecord, ...] = ()
    features: dict[str, str] = {}
    if applier is not None:
        records = tuple(
            LFRecord(
                name=lf.name,
                kind=lf.kind,
                doc=lf.doc,
                classes=lf.classes,
                soft=lf.soft,
                key=applier.lf_keys_[lf.name],
                out_of_fold_key=applier.out_of_fold_keys_.get(lf.name),
            )
            for lf in applier.lfs_
        )
        features = {node.name: key for node, key in applier.feature_keys_.items()}
    save_config(
        request.out,
        RunConfig(
            data=request.data,
            size=request.size,
            color=request.color,
            shape=source.shape,
            decoding=source.decoding,
            n_images=len(source),
            class_names=classes.names,
            specs=request.specs,
            kinds=request.kinds,
            seed=request.seed,
            seed_images=tuple(source.ids[row] for row in seeds.rows),
            seed_labels=tuple(seeds.labels.tolist()),
            seed_block=None if applier is None else applier.seed_block_,
            aggregator=request.aggregator,
            class_balance=request.class_balance,
            lfs=records,
            features=features,
            votes_file=None if applier else str(request.votes_file),
            versions=versions(),
        ),
    )


def _summarize(
    request: Request,
    source: ImageSource,
    classes: _Classes,
    votes: Votes,
    applier: LFApplier | None,
) -> dict[str, Any]:
    """Aggregate, write the labels and the contact sheet, and say how it went."""
    labels = aggregate(votes, request.aggregator, request.class_balance)
    files = save_labels(
        request.out,
        source.ids,
        labels.labels,
        labels.proba,
        classes.names,
        labels.is_seed,
    )
    given = given_images(source, votes)
    if request.sheet:
        path = request.out / "contact_sheet.png"
        contact_sheet(
            source,
            labels.labels,
            labels.proba,
            classes.names,
            path,
            truth=classes.truth,
            exclude=given,
        )
        files.append(path)
    lfs = None if applier is None else applier.lfs_
    everything = tuple(range(len(classes.names)))
    summary = summarize(
        votes,
        labels,
        classes.truth,
        given,
        class_names=classes.names,
        aggregator=request.aggregator,
        class_balance=request.class_balance,
        lf_classes=None if lfs is None else [lf.classes or everything for lf in lfs],
        lf_kinds=None if lfs is None else [lf.kind for lf in lfs],
    )
    summary["data"], summary["out"] = request.data, str(request.out)
    summary["files"] = [str(path) for path in files]
    return summary


def _remarks(votes: Votes) -> tuple[str, ...]:
    if votes.seed_rows is not None and votes.seed_out_of_fold is None:
        return ("too few seeds to vote on any of them out of fold",)
    return ()


def _finish(
    request: Request, summary: dict[str, Any], started: float
) -> dict[str, Any]:
    summary["seconds"] = round(time.perf_counter() - started, 2)
    path = request.out / "summary.json"
    write_atomically(path, json.dumps(summary, indent=1).encode())
    summary["files"].append(str(path))
    return summary
