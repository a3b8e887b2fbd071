"""The main job in one call: data and labeling functions in, a run folder out."""

from __future__ import annotations

import os
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lfkit.aggregators.aggregate import make_aggregator
from lfkit.classifiers.baselines import BASELINE, check_seeds
from lfkit.commands.apply_labels import LabelMaking
from lfkit.commands.apply_options import ApplyOptions as ApplyOptions
from lfkit.data.class_names import number
from lfkit.data.datasets import open_images
from lfkit.data.image_source import ImageSource
from lfkit.data.progress import Progress
from lfkit.data.seed_labels import GivenLabels, draw_seeds, read_labels
from lfkit.data.vote_files import VoteFile, read_votes
from lfkit.data.votes import Votes, with_known
from lfkit.errors import DataError
from lfkit.labeling.applier import LFApplier
from lfkit.labeling.classes import Classes, least_classes, reconcile
from lfkit.labeling.engine.failures import Report
from lfkit.labeling.loading import load_lfs
from lfkit.labeling.trusted_code import remember_code
from lfkit.runs.json_text import to_json
from lfkit.runs.reading import sealed
from lfkit.runs.run_files import (
    LFRecord,
    RunConfig,
    known_images,
    load_images,
    save_config,
    save_foreign_votes,
    save_images,
    versions,
)
from lfkit.runs.store import RunStore, write_atomically

_FIRST = 4  # images that are named to show an order
_DATA = b"lfkit.data"  # metadata of images.parquet: where the images were found


def label_data(
    request: ApplyOptions, progress: Progress | None = None
) -> dict[str, Any]:
    """Do what `lfkit apply` does; returns the content of summary.json.

    What is computed is kept in `request.out`: the same call goes on from there.
    """
    started = time.perf_counter()
    replaced = _replaced(request)
    by_votes = "majority-vote" if request.aggregator == BASELINE else request.aggregator
    aggregator = make_aggregator(by_votes, request.class_balance, request.seed)
    if request.stages:
        from lfkit.refinement.stages.all_stages import chosen_stages

        chosen_stages(request.stages)  # a wrong name is told before the work
    loaded = None
    if request.votes_file is None:
        loaded = load_lfs(request.specs, kinds=request.kinds)
        unkept = remember_code(request.specs)
        if unkept is not None:
            replaced += (
                f"that you ran these functions cannot be kept ({unkept}): `lfkit "
                "train` and others will ask for --lfs or --trust-code",
            )
    source = open_images(
        request.data,
        size=request.size,
        color=request.color,
        known=_known_index(request),
        progress=None
        if progress is None
        else lambda done, total: progress("reading the files", done, total),
    )
    if loaded is None:
        return _label_by_foreign_votes(request, source, started, progress)
    classes = reconcile(source, loaded.class_names, least_classes(loaded, source))
    aggregator.checked_balance(len(classes.names))  # before the work, not after it
    seeds = _seeds(request, source, classes)
    _check_baseline(request, source, seeds)
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
        recompute=request.recompute,
        progress=progress,
    )
    _write(request, source, classes, seeds, votes, applier.report_.problems, applier)
    lost = _rows_of(source, applier.report_.problems)
    features = applier.feature_keys_
    task = LabelMaking(request, source, classes, votes, store, features, lost)
    summary = task.labeled(applier.lfs_, progress)
    summary["notes"] += [
        *replaced,
        *source.notes,
        *classes.notes,
        *seeds.notes,
        *applier.report_.notes,
        *_remarks(votes),
    ]
    summary |= _report(request, applier.report_)
    return _finish(request, summary, started)


def _known_index(request: ApplyOptions) -> pa.Table | None:
    """Read the index of the run's last time, if it was of the same data."""
    index = known_images(request.out)
    if index is None or (index.schema.metadata or {}).get(_DATA) != _place(request):
        return None
    return index


def _place(request: ApplyOptions) -> bytes:
    return os.fsencode(os.path.realpath(os.path.expanduser(request.data)))


def _label_by_foreign_votes(
    request: ApplyOptions,
    source: ImageSource,
    started: float,
    progress: Progress | None,
) -> dict[str, Any]:
    assert request.votes_file is not None
    replaced = _replaced(request)
    k = None if source.class_names is None else len(source.class_names)
    file = read_votes(request.votes_file, k, source.class_names)
    file = _in_order_of(source, file, request.votes_file)
    classes = reconcile(source, file.class_names, file.votes.n_classes)
    seeds = _seeds(request, source, classes)
    _check_baseline(request, source, seeds)
    votes = Votes(
        file.votes.hard,
        file.votes.names,
        len(classes.names),
        soft=file.votes.soft,
        allowed=file.votes.allowed,
    )
    if len(seeds.rows):
        votes = with_known(votes, seeds.rows, seeds.labels)
    save_foreign_votes(request.out, votes)
    problems = {source.ids[row]: why for row, why in source.known_problems.items()}
    _write(request, source, classes, seeds, votes, problems, None)
    store = RunStore(request.out)
    task = LabelMaking(request, source, classes, votes, store, {}, [])
    summary = task.labeled(None, progress)
    summary["notes"] += [
        *replaced,
        *source.notes,
        *file.notes,
        *_numbers_taken(source, file),
        *classes.notes,
        *seeds.notes,
        *_unseen_seeds(request, votes),
    ]
    summary |= _report(request, Report(problems=problems))
    return _finish(request, summary, started)


def _in_order_of(source: ImageSource, file: VoteFile, path: Path) -> VoteFile:
    """Check that a vote file is about these images; put its rows in their order."""
    if len(file.votes) != len(source):
        raise DataError(
            f"{path} has votes on {len(file.votes)} images, {source.name} has "
            f"{len(source)}; give one row per image."
        )
    if file.ids is None:
        return replace(file, notes=file.notes + _order_taken(source, path))
    if list(file.ids) == list(source.ids):
        return file
    row_of = {name: row for row, name in enumerate(file.ids)}
    missing = [name for name in source.ids if name not in row_of]
    if missing:
        raise DataError(
            f"{path} has no votes on image {missing[0]!r}; its image_id column starts "
            f"with {file.ids[0]!r}."
        )
    rows = np.asarray([row_of[name] for name in source.ids], np.int64)
    return VoteFile(
        file.votes.rows(rows), class_names=file.class_names, notes=file.notes
    )


def _order_taken(source: ImageSource, path: Path) -> tuple[str, ...]:
    """Say in which order rows without image ids are taken for images."""
    ids = list(source.ids[:_FIRST])
    if ids == list(map(str, range(len(ids)))):
        return ()  # images without names: their order is the data's only one
    note = (
        f"{path.name} has no image ids; its rows are taken in the order of the images, "
        f"{', '.join(ids)}{', …' if len(source) > _FIRST else ''}"
    )
    by_number = sorted(source.ids, key=_numbers_in)
    each = zip(source.ids, by_number, strict=True)
    unlike = next(((mine, other) for mine, other in each if mine != other), None)
    if unlike is not None:
        note += (
            f", where {unlike[0]} comes before {unlike[1]}: give a table with the "
            "column image_id if the rows go by the numbers in the names"
        )
    return (note,)


def _numbers_taken(source: ImageSource, file: VoteFile) -> tuple[str, ...]:
    """Say which classes the data's numbers are, if only the votes name any."""
    names = file.class_names or ()
    if source.class_names or source.labels is None or not names:
        return ()
    if any(number(name) is not None for name in names):
        return ()  # they meet by name
    shown = ", ".join(f"{y} is {name}" for y, name in enumerate(names[:_FIRST]))
    more = ", …" if len(names) > _FIRST else ""
    return (f"the class numbers of {source.name}: {shown}{more}",)


def _numbers_in(name: str) -> list[tuple[int, str]]:
    """Take a name apart, so that 2.png comes before 10.png."""
    parts = re.split(r"([0-9]+)", name)
    return [(int(part), "") if i % 2 else (0, part) for i, part in enumerate(parts)]


def _seeds(request: ApplyOptions, source: ImageSource, classes: Classes) -> GivenLabels:
    if request.seed_labels is not None:
        given = read_labels(request.seed_labels, source.ids, classes.names)
        notes = (*_unreadable_seeds(source, given), *_unseeded(classes, given))
        return replace(given, notes=(*given.notes, *notes))
    if request.seeds_per_class is not None:
        return draw_seeds(
            source, classes.truth, classes.names, request.seeds_per_class, request.seed
        )
    nothing = np.zeros(0, np.int64)
    return GivenLabels(nothing, nothing)


def _check_baseline(
    request: ApplyOptions, source: ImageSource, seeds: GivenLabels
) -> None:
    """Tell before the work that there can be no baseline."""
    if request.aggregator == BASELINE:
        check_seeds(seeds.labels[~np.isin(seeds.rows, list(source.known_problems))])


def _unseeded(classes: Classes, given: GivenLabels) -> tuple[str, ...]:
    seen = set(given.labels.tolist())
    absent = [name for label, name in enumerate(classes.names) if label not in seen]
    if not absent:
        return ()
    return (f"no seed shows {', '.join(absent)}: nothing is learned of it",)


def _replaced(request: ApplyOptions) -> tuple[str, ...]:
    """Say so when a run folder is used for other data than the last time."""
    index = load_images(request.out)
    if index is None or (index.schema.metadata or {}).get(_DATA) == _place(request):
        return ()
    before = os.fsdecode((index.schema.metadata or {}).get(_DATA, b"other data"))
    return (f"{request.out} held the labels of {before}; they are replaced",)


def _unreadable_seeds(source: ImageSource, given: GivenLabels) -> tuple[str, ...]:
    lost = [row for row in given.rows.tolist() if row in source.known_problems]
    if not lost:
        return ()
    return (
        f"{len(lost)} of the {len(given.rows)} seeds cannot be read, such as "
        f"{source.ids[lost[0]]}: nothing is learned from them",
    )


def _write(
    request: ApplyOptions,
    source: ImageSource,
    classes: Classes,
    seeds: GivenLabels,
    votes: Votes,
    problems: dict[str, str],
    applier: LFApplier | None,
) -> None:
    """Write images.parquet and run.json."""
    # A run without it is not finished: its labels may be those of another call.
    (request.out / "summary.json").unlink(missing_ok=True)
    index = source.table().replace_schema_metadata({_DATA: _place(request)})
    save_images(request.out, index, problems, classes.truth)
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
            refine=request.refine,
            target_precision=request.target_precision,
            versions=versions(),
        ),
    )


def _rows_of(source: ImageSource, problems: dict[str, str]) -> list[int]:
    if not problems:
        return []
    return [row for row, name in enumerate(source.ids) if name in problems]


def _report(request: ApplyOptions, report: Report) -> dict[str, Any]:
    """Write faults.json; give what the summary says of it."""
    write_atomically(
        request.out / "faults.json", to_json(report.to_dict(), indent=1).encode()
    )
    faults = sorted(report.faults.items(), key=lambda item: -item[1].total)
    return {
        "unreadable": len(report.problems),
        "problems": dict(list(report.problems.items())[:20]),
        "left_out": report.left_out,
        "faults": {
            name: {
                "total": found.total,
                "kinds": dict(found.counts),
                "message": next(iter(found.examples.values()))[1],
            }
            for name, found in faults
        },
        "lf_calls": report.n_calls,
        "feature_values": report.n_feature_values,
    }


def _unseen_seeds(request: ApplyOptions, votes: Votes) -> tuple[str, ...]:
    if votes.seed_rows is None:
        return ()
    assert request.votes_file is not None
    return (
        f"the {len(votes.seed_rows)} seeds are taken as unseen by the makers of "
        f"{request.votes_file.name}: they teach and judge how far its votes are right",
    )


def _remarks(votes: Votes) -> tuple[str, ...]:
    if votes.seed_rows is not None and votes.seed_out_of_fold is None:
        return ("too few seeds to vote on any of them out of fold",)
    return ()


def _finish(
    request: ApplyOptions, summary: dict[str, Any], started: float
) -> dict[str, Any]:
    summary["seconds"] = round(time.perf_counter() - started, 2)
    path = request.out / "summary.json"
    summary["files"].append(str(path))
    write_atomically(path, sealed(summary))
    return summary
