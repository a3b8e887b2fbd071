"""`lfkit label`: a labeler on shards, each by itself; what is done stays done."""

from __future__ import annotations

import json
import math
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lfkit.commands.label_options import LabelOptions
from lfkit.commands.label_shard import ShardFiles, ShardTask
from lfkit.commands.labeler import check_trust, load_labeler
from lfkit.data.files import sweep
from lfkit.data.image_part import ImagePart
from lfkit.data.places import inside, is_url, read_place, size_of, write_place
from lfkit.data.progress import Progress
from lfkit.data.shards import Shard, list_shards, numbered_as_before, open_shard
from lfkit.engines import Engine, LocalEngine, RayEngine
from lfkit.errors import InputError
from lfkit.labeling.engine.function_evaluator import cpu_count
from lfkit.runs.json_text import to_json
from lfkit.runs.labeler_files import LabelerFiles, read_labeler

_FORMAT = 1
_SETTINGS = "label.json"  # in the folder of results: of what they are
_WRITING_S = 600  # far longer than a file is written to its partial name
_SAMPLE = 256  # images that are labeled to estimate the time: a whole batch


@dataclass(frozen=True)
class LabeledShards:
    """Result of `lfkit label`.

    Attributes
    ----------
    out : where the results are.
    shards : that this call was asked for; of them `done_before` were done already.
    labeled_now : shards.
    failed : name of a shard → why.
    images, labeled, unreadable, classes, faults : of all its shards that are done.
    seconds : of this call.
    notes : what a user should know of the labeler, if it was loaded.
    """

    out: str
    shards: int
    done_before: int
    labeled_now: int
    failed: dict[str, str]
    images: int
    labeled: int
    unreadable: int
    classes: dict[str, int]
    faults: dict[str, dict[str, int]]
    seconds: float
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True)
class Plan:
    """Result of `lfkit label --dry-run`.

    Attributes
    ----------
    shards : name → whether it is done.
    images : in those to be done; None if it cannot be told.
    images_per_second : of one worker, by a timed sample.
    seconds : that this will take; None if it cannot be told.
    """

    out: str
    shards: dict[str, bool]
    images: int | None
    images_per_second: float | None
    seconds: float | None
    notes: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON-ready values."""
        return asdict(self)


def label(options: LabelOptions, progress: Progress | None = None) -> LabeledShards:
    """Label shards, but for those that are done; the same call goes on.

    Raises
    ------
    InputError : the labeler or the data cannot be read, or `out` holds the results of
        another labeler or of other data.
    """
    started = time.perf_counter()
    found = _checked_labeler(options)
    _check_patterns(options, found)
    every = _keep_settings(options, found)
    asked = _asked(options, every)
    if not is_url(options.out):
        sweep(Path(options.out), older_than_s=_WRITING_S)
    done = {s.index: ShardFiles(options.out, s).read_done(found.hash) for s in asked}
    waiting = [shard for shard in asked if done[shard.index] is None]
    held = {number: one for number, one in done.items() if one is not None}
    n_before = len(held)
    if options.limit is not None:
        waiting = waiting[: options.limit]
    task = _task(options, found)
    if waiting:
        # What is wrong with its code is said once, not by each shard.
        task.open()
    failed: dict[str, str] = {}
    begun = {shard.index: shard for shard in waiting}
    tell = progress or (lambda stage, now, total: None)
    tell("labeling shards", n_before, n_before + len(waiting))
    for outcome in _engine(options).map(task, waiting):
        del begun[outcome.item.index]
        if outcome.result is None:
            failed[outcome.item.name] = outcome.failure
        else:
            held[outcome.item.index] = outcome.result
        n_over = len(held) + len(failed)
        tell("labeling shards", n_over, n_before + len(waiting))
    for shard in begun.values():  # whatever an engine does, no shard is lost unsaid
        failed[shard.name] = "nothing is known of how it ended"
    return LabeledShards(
        out=options.out,
        shards=len(asked),
        done_before=n_before,
        labeled_now=len(held) - n_before,
        failed=failed,
        **_totals(held),
        seconds=round(time.perf_counter() - started, 2),
        notes=task.notes,
    )


def plan(options: LabelOptions) -> Plan:
    """List shards, and time some images of the first that is to be done."""
    found = _checked_labeler(options)
    _check_patterns(options, found)
    every, _ = _numbered(options, found)
    asked = _asked(options, every)
    done = {
        shard.name: ShardFiles(options.out, shard).read_done(found.hash) is not None
        for shard in asked
    }
    waiting = [shard for shard in asked if not done[shard.name]]
    waiting = waiting[: options.limit] if options.limit else waiting
    if not waiting:
        return Plan(options.out, done, 0, None, 0.0)
    labeler = load_labeler(options.labeler, trust_code=options.trust_code)
    task = _task(options, found)
    shape, white = labeler.record.shape, labeler.record.white
    source = open_shard(waiting[0], shape, white)
    images = _count(waiting, len(source))
    if not len(source):
        return Plan(options.out, done, images, None, None, labeler.notes)
    part = ImagePart(source, np.arange(min(_SAMPLE, len(source))))
    for _ in range(2):  # the first call loads libraries and networks
        began = time.perf_counter()
        labeler.label(part, n_workers=task.n_workers, lf_timeout=options.lf_timeout)
    rate = len(part) / (time.perf_counter() - began)
    at_once = min(options.workers or 1, len(waiting))
    seconds = None if images is None else images / rate / at_once
    return Plan(options.out, done, images, rate, seconds, labeler.notes)


def _count(waiting: Sequence[Shard], in_first: int) -> int | None:
    """Count images; of files that are not opened, as their size says."""
    known = [shard.n_images for shard in waiting]
    if all(n is not None for n in known):
        return sum(n for n in known if n is not None)
    first = waiting[0].n_bytes
    if not first or any(shard.n_bytes is None for shard in waiting):
        return None
    return math.ceil(in_first * sum(s.n_bytes or 0 for s in waiting) / first)


def _checked_labeler(options: LabelOptions) -> LabelerFiles:
    """Check the labeler's files and that its code may run; none is run here."""
    found = read_labeler(options.labeler.expanduser())
    check_trust(found, options.trust_code)
    return found


def _check_patterns(options: LabelOptions, found: LabelerFiles) -> None:
    soft = [each.name for each in found.record.functions if each.soft]
    if options.patterns and soft:
        raise InputError(
            f"labeling function {soft[0]!r} votes softly, and soft votes are no "
            "patterns that occur again; leave --patterns out, or freeze a run without "
            "soft functions."
        )


def _asked(options: LabelOptions, shards: Sequence[Shard]) -> list[Shard]:
    if options.shards is None:
        return list(shards)
    part, n = options.shards
    return [shard for shard in shards if shard.index % n == part - 1]


def _task(options: LabelOptions, found: LabelerFiles) -> ShardTask:
    at_once = options.workers or 1
    n_workers = None
    if options.engine == "ray":
        n_workers = 1  # Ray counts one CPU for each
    elif at_once > 1:
        n_workers = max(1, cpu_count() // at_once)
    return ShardTask(
        labeler=str(options.labeler.expanduser()),
        trust_code=options.trust_code,
        hash=found.hash,
        out=options.out,
        votes=options.votes,
        patterns=options.patterns,
        lf_timeout=options.lf_timeout,
        n_workers=n_workers,
    )


def _engine(options: LabelOptions) -> Engine:
    tries = options.max_shard_retry + 1
    if options.engine == "local":
        return LocalEngine(options.workers or 1, most_tries=tries)
    return RayEngine(
        options.address,
        n_actors=options.workers,
        num_gpus=options.num_gpus,
        most_tries=tries,
    )


def _keep_settings(options: LabelOptions, found: LabelerFiles) -> list[Shard]:
    """List the shards by number, and keep what results are of."""
    shards, is_new = _numbered(options, found)
    if is_new:
        about = {
            "data": options.data,
            "labeler_folder": os.path.abspath(options.labeler.expanduser()),
            "n_shards": len(shards),
            "class_names": found.record.class_names,
            "functions": [each.name for each in found.record.functions],
            "shards": [shard.listing for shard in shards],
        }
        text = to_json({**_settings(options, found, shards), **about}, indent=1)
        write_place(inside(options.out, _SETTINGS), text.encode())
    return shards


def _settings(
    options: LabelOptions, found: LabelerFiles, shards: Sequence[Shard]
) -> dict[str, Any]:
    """Give what all results in a folder have in common, but for the shards."""
    return {
        "format": _FORMAT,
        "labeler": found.hash,
        "place": shards[0].place if shards[0].is_cut else None,
        "votes": options.votes,
        "patterns": options.patterns,
    }


def _numbered(options: LabelOptions, found: LabelerFiles) -> tuple[list[Shard], bool]:
    """List the shards by number; tell if label.json does not hold them as they are.

    Raises
    ------
    InputError : the folder has results of something else.
    """
    shards = list_shards(options.data, options.shard_size)
    settings = _settings(options, found, shards)
    place = inside(options.out, _SETTINGS)
    if not is_url(options.out) and os.path.isdir(options.out):
        names = {name for name in os.listdir(options.out) if not name.startswith(".")}
        # Listed first: what another machine begins meanwhile is no foreign file.
        if names and size_of(place) is None:
            raise InputError(
                f"{options.out} is not empty and no result of `lfkit label`; give "
                "--out another folder."
            )
    if size_of(place) is None:
        return shards, True
    before = _known_shards(options, place, settings)
    numbered = numbered_as_before(shards, before)
    if numbered is None:
        raise InputError(
            f"{options.out} holds results of other shards, of which {options.data} "
            "lacks some; "
            + (
                "where images are cut into shards, new ones may only come behind the "
                "others: label these alone, by a CSV list with a column `path`, and "
                "give --out another folder."
                if shards[0].is_cut
                else "give --out another folder."
            )
        )
    return numbered, [shard.listing for shard in numbered] != before


def _known_shards(
    options: LabelOptions, place: str, settings: dict[str, Any]
) -> list[str]:
    """Give the listings of the shards that label.json holds, by number."""
    try:
        before = json.loads(read_place(place))
        held = {name: before.get(name) for name in settings}
        known = [str(listing) for listing in before["shards"]]
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise InputError(
            f"{place} cannot be read; give --out another folder."
        ) from error
    for name, what in (
        ("format", "of another lfkit"),
        ("labeler", "by another labeler"),
        ("place", "of other data"),
        ("votes", "with or without --votes"),
        ("patterns", "with or without --patterns"),
    ):
        if held[name] != settings[name]:
            raise InputError(
                f"{options.out} holds results {what}, unlike this call; give --out "
                "another folder."
            )
    return known


def _totals(held: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """Add up what was done in all shards."""
    classes: Counter[str] = Counter()
    faults: dict[str, Counter[str]] = {}
    for _, one in sorted(held.items()):
        classes.update(one["classes"])
        for name, counts in one["faults"].items():
            faults.setdefault(name, Counter()).update(counts)
        for name, why in one["left_out"].items():
            faults.setdefault(name, Counter())[f"left out: {why}"] += one["images"]
    sums = ("images", "labeled", "unreadable")
    return {
        **{name: sum(one[name] for one in held.values()) for name in sums},
        "classes": dict(classes),
        "faults": {name: dict(counts) for name, counts in faults.items()},
    }
