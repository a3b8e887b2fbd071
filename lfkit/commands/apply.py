"""`lfkit apply`: images and labeling functions in, a run folder with labels out."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import numpy as np

from lfkit.aggregators import Aggregator
from lfkit.aggregators.aggregate import keep_precise, make_aggregator
from lfkit.classifiers.baselines import check_seeds
from lfkit.commands.label_images import (
    baselines_of,
    draw_contact_sheet,
    label_by_votes_or_baseline,
    notes_on,
    summary_of_labels,
)
from lfkit.commands.refine_labels import feature_sets_of, refinement_of, relabeled
from lfkit.commands.vote_sources import VotedImages, vote_source
from lfkit.commands.worth_of_functions import worth_of_functions
from lfkit.data.datasets import open_images
from lfkit.data.image_source import ImageSource
from lfkit.data.progress import Progress, Stopwatch
from lfkit.data.seed_labels import (
    GivenLabels,
    check_label_file,
    draw_seeds,
    read_labels,
)
from lfkit.labeling.classes import Classes
from lfkit.runs.apply_options import BASELINE
from lfkit.runs.apply_options import ApplyOptions as ApplyOptions
from lfkit.runs.json_text import to_json
from lfkit.runs.run_config import RunConfig, save_config, versions
from lfkit.runs.run_files import (
    images_told,
    known_images,
    row_groups,
    save_images,
    save_labels,
)
from lfkit.runs.run_summary import RunSummary, forget_summary, save_summary
from lfkit.runs.store import write_atomically

_DATA = b"lfkit.data"  # metadata of images.parquet: where the images were found


def apply(options: ApplyOptions, progress: Progress | None = None) -> RunSummary:
    """Label every image of a data set, by labeling functions or by votes from a file.

    What is computed is kept in `options.out`: the same call goes on from there.
    """
    started = time.perf_counter()
    progress = watch = Stopwatch(progress)
    replaced = _replaced(options)
    model = _model(options)
    if options.seed_labels is not None:
        check_label_file(options.seed_labels)
    voters = vote_source(options)
    images = _open_images(options, progress)
    classes = voters.classes(images)
    model.checked_balance(len(classes.names))
    seeds = _seeds(options, images, classes)
    voted = voters.vote(images, classes, seeds, progress)
    _save_votes(options, voted, seeds)
    feature_sets = feature_sets_of(options, voted, progress) if options.refine else {}
    baselines = baselines_of(options, voted, feature_sets, progress)
    labels = label_by_votes_or_baseline(
        options, voted, baselines, feature_sets, progress
    )
    found = None
    if options.refine:
        found = refinement_of(options, voted, labels, feature_sets, progress)
        labels = relabeled(voted, labels, found)
    refinement = None if found is None else found.summary()
    kept = labels
    if options.target_precision is not None:
        kept = keep_precise(labels, options.target_precision)
    files = save_labels(options.out, images.ids, kept, class_names=classes.names)
    if options.sheet:
        files.append(draw_contact_sheet(options, voted, kept))
    notes = [*notes_on(options, voted, kept, refinement), *replaced, *images.notes]
    notes += [*voted.notes, *seeds.notes, *voted.remarks]
    summary = replace(
        summary_of_labels(
            options,
            voted,
            labels,
            kept,
            refinement,
            baselines,
            worth_of_functions(options, voted, feature_sets, found)
            if options.baselines
            else None,
        ),
        files=tuple(map(str, [*files, options.out / "summary.json"])),
        notes=tuple(notes),
        seconds=round(time.perf_counter() - started, 2),
        seconds_of={what: round(time, 2) for what, time in watch.seconds.items()},
    )
    save_summary(options.out, summary)
    return summary


def _model(options: ApplyOptions) -> Aggregator:
    """Make the aggregator, and refuse wrong names of stages, before the work."""
    if options.stages:
        from lfkit.refinement.stages.all_stages import chosen_stages

        chosen_stages(options.stages)
    if options.encoders:
        from lfkit.encoders import open_encoder

        for encoder in options.encoders:
            open_encoder(encoder)
    by_votes = options.aggregator != BASELINE
    name = options.aggregator if by_votes else "majority-vote"
    return make_aggregator(name, options.class_balance, options.seed)


def _open_images(options: ApplyOptions, progress: Progress | None) -> ImageSource:
    """Open the data; what images.parquet of the same data knows is not read again."""
    index = known_images(options.out) if _is_same_data(options) else None
    return open_images(
        options.data,
        size=options.size,
        color=options.color,
        known=index,
        progress=None
        if progress is None
        else lambda done, total: progress("reading the files", done, total),
    )


def _replaced(options: ApplyOptions) -> tuple[str, ...]:
    """Say so when a run folder is used for other data than the last time."""
    told = images_told(options.out)
    if told is None or _is_same_data(options):
        return ()
    before = os.fsdecode(told.get(_DATA, b"other data"))
    return (f"{options.out} held the labels of {before}; they are replaced",)


def _is_same_data(options: ApplyOptions) -> bool:
    return (images_told(options.out) or {}).get(_DATA) == _place(options)


def _place(options: ApplyOptions) -> bytes:
    return os.fsencode(os.path.realpath(os.path.expanduser(options.data)))


def _seeds(options: ApplyOptions, images: ImageSource, classes: Classes) -> GivenLabels:
    """Read the labels that are given, or draw some; none if neither is asked for."""
    nothing = np.zeros(0, np.int64)
    seeds = GivenLabels(nothing, nothing)
    if options.seed_labels is not None:
        given = read_labels(options.seed_labels, images.ids, classes.names)
        notes = (*_unreadable_seeds(images, given), *_unseeded(classes, given))
        seeds = replace(given, notes=(*given.notes, *notes))
    elif options.seeds_per_class is not None:
        n, seed = options.seeds_per_class, options.seed
        seeds = draw_seeds(images, classes.truth, classes.names, n, seed)
    if options.aggregator == BASELINE:
        readable = ~np.isin(seeds.rows, list(images.known_problems))
        check_seeds(seeds.labels[readable])
    return seeds


def _unreadable_seeds(images: ImageSource, given: GivenLabels) -> tuple[str, ...]:
    lost = [row for row in given.rows.tolist() if row in images.known_problems]
    if not lost:
        return ()
    return (
        f"{len(lost)} of the {len(given.rows)} seeds cannot be read, such as "
        f"{images.ids[lost[0]]}: nothing is learned from them",
    )


def _unseeded(classes: Classes, given: GivenLabels) -> tuple[str, ...]:
    seen = set(given.labels.tolist())
    absent = [name for label, name in enumerate(classes.names) if label not in seen]
    if not absent:
        return ()
    return (f"no seed shows {', '.join(absent)}: no function learns what it is",)


def _save_votes(options: ApplyOptions, voted: VotedImages, seeds: GivenLabels) -> None:
    """Write images.parquet, run.json and faults.json; the votes are in the store."""
    images, out = voted.images, options.out
    forget_summary(out)  # the labels on disk may be those of another call
    index = (
        images.table(rows).replace_schema_metadata({_DATA: _place(options)})
        for rows in row_groups(len(images))
    )
    save_images(out, index, voted.report.problems, voted.classes.truth)
    save_config(
        out,
        RunConfig(
            options=options,
            shape=images.shape,
            decoding=images.decoding,
            n_images=len(images),
            class_names=voted.classes.names,
            seed_images=tuple(images.ids[row] for row in seeds.rows),
            seed_labels=tuple(seeds.labels.tolist()),
            seed_block=voted.seed_block,
            lfs=voted.records,
            features={node.name: key for node, key in voted.feature_keys.items()},
            versions=versions(),
        ),
    )
    faults = to_json(voted.report.to_dict(), indent=1)
    write_atomically(out / "faults.json", faults.encode())
