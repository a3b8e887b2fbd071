"""The jobs of the process that runs users' functions: a preview, all images, looks."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lfkit.aggregators.aggregate import aggregate
from lfkit.commands.apply import apply
from lfkit.commands.options import ReportOptions
from lfkit.commands.report import report
from lfkit.commands.vote_sources import FunctionVotes
from lfkit.data.datasets import open_images
from lfkit.data.image_part import ImagePart
from lfkit.data.image_source import ImageSource
from lfkit.data.progress import Progress
from lfkit.features.feature import ancestors
from lfkit.labeling.applier import LFApplier
from lfkit.labeling.classes import Classes
from lfkit.labeling.engine.seed_fitting import is_fixed
from lfkit.labeling.labeling_function import LabelingFunction
from lfkit.labeling.trusted_code import remember_code
from lfkit.metrics.image_checks.looks import looks_of, network_features
from lfkit.metrics.image_checks.near_duplicates import near_duplicates
from lfkit.runs.run_config import load_config
from lfkit.runs.run_files import check_folder, load_labels, load_votes
from lfkit.runs.run_summary import load_summary
from lfkit.runs.store import RunStore, locked
from lfkit.studio.answers import SeedAnswers
from lfkit.studio.array_files import UNREADABLE, as_text, load_arrays, save_arrays
from lfkit.studio.existing_run import is_own, kept_note, note_own
from lfkit.studio.function_files import files_behind, functions_outside
from lfkit.studio.map_layout import map_layout
from lfkit.studio.number_names import number_name
from lfkit.studio.outcome import FunctionFacts, Outcome, make_outcome
from lfkit.studio.preview_images import preview_rows
from lfkit.studio.same_images import check_unchanged
from lfkit.studio.separating import snippet
from lfkit.studio.studio_options import StudioOptions
from lfkit.studio.telling_apart import tell_apart

_PACKAGE = str(Path(__file__).parents[1])
_MOST_SOURCE = 20_000  # characters of a function's code that the page shows


def open_data(asked: dict[str, Any]) -> ImageSource:
    """Open the images as the page has opened them; their index is not made again."""
    options = options_of(asked)
    index = Path(asked["index"])
    images = open_images(
        options.data,
        size=options.size,
        color=options.color,
        known=pq.read_table(index) if index.exists() else None,
    )
    _ = images.keys  # hashed here once, and not in every fork
    return images


def check_data(asked: dict[str, Any], images: ImageSource) -> None:
    """Refuse images that are not those of the page: its rows would be others."""
    check_unchanged(images, asked["images"], asked["n"])


def options_of(asked: dict[str, Any]) -> StudioOptions:
    """Read the options as the page's process sends them."""
    fields = dict(asked["options"])
    for name in ("size", "lfs", "kinds", "class_balance"):
        fields[name] = fields[name] and tuple(fields[name])
    return StudioOptions(**fields)


def vote_on_preview(
    asked: dict[str, Any], job: dict[str, Any], images: ImageSource, progress: Progress
) -> dict[str, Any]:
    """Vote and label a fixed sample of the images, and the answered ones."""
    options = options_of(asked)
    progress("reading the functions", 0, 1)
    shown = preview_rows(len(images), options.preview, options.seed)
    store = RunStore(options.out / "studio" / "preview")
    outcome = _voted(
        options,
        images,
        shown,
        store,
        progress,
        n_workers=1 if job["careful"] else 0,
        lf_timeout=asked["timeout"] if job["careful"] else None,
    )
    return _finished(asked, job, outcome)


def _voted(
    options: StudioOptions,
    images: ImageSource,
    shown: NDArray[np.int64],
    store: RunStore,
    progress: Progress,
    **how: Any,
) -> Outcome:
    """Vote and label some images, and the answered ones; no run is written.

    Parameters
    ----------
    shown : rows of the images, ascending.
    how : options of the applier.
    """
    voters = FunctionVotes(options.of_apply(has_seeds=False))
    classes = voters.classes(images)
    given = SeedAnswers(options.answers, images.ids, classes.names).given()
    rows = np.union1d(shown, given.rows)
    part = ImagePart(images, rows)
    has_seeds = len(given.rows) > 0
    applier = LFApplier(voters.loaded.lfs, n_classes=len(classes.names), **how)
    votes = applier.apply(
        part,
        seed_rows=np.searchsorted(rows, given.rows) if has_seeds else None,
        seed_labels=given.labels if has_seeds else None,
        random_state=options.seed,
        store=store,
        progress=progress,
    )
    progress("labeling", 0, 1)
    balance, problems = options.class_balance, [*part.known_problems]
    labels = aggregate(votes, options.aggregator, balance, options.seed, problems)
    report = applier.report_
    kept = () if is_own(options.out) else (kept_note(options.out),)
    facts = [
        _with_faults(
            _facts(lf, applier.lf_keys_[lf.name], voters.loaded.lfs, classes),
            lf,
            {n: (f.total, _first_trace(f.examples)) for n, f in report.faults.items()},
        )
        for lf in applier.lfs_
    ]
    return make_outcome(
        votes=votes,
        labels=labels,
        rows=rows,
        is_shown=np.isin(rows, shown),
        truth=classes.truth[rows],
        class_names=classes.names,
        facts=facts,
        left_out=dict(report.left_out),
        tracebacks=dict(report.tracebacks),
        notes=(*kept, *voters.notes, *classes.notes, *report.notes),
        outside=functions_outside(voters.loaded.outside),
        networks=_networks({n.name: k for n, k in applier.feature_keys_.items()}),
        calls=report.n_calls,
        feature_values=report.n_feature_values,
    )


def vote_on_all(
    asked: dict[str, Any], job: dict[str, Any], images: ImageSource, progress: Progress
) -> dict[str, Any]:
    """Do as `lfkit apply` does, in the same run folder, through the same store.

    Where the folder holds labels of `lfkit apply` itself, they stay: they may be
    refined, or made with seeds that the studio does not have.
    """
    options = options_of(asked)
    os.nice(10)  # the preview goes before
    check_folder(options.out)
    check_data(asked, open_data(asked))
    with locked(options.out):
        if not is_own(options.out):
            outcome = _voted(
                options,
                images,
                np.arange(len(images)),
                RunStore(options.out),
                progress,
                lf_timeout=options.of_apply(has_seeds=False).lf_timeout,
            )
            return _finished(asked, job, outcome)
    voters = FunctionVotes(options.of_apply(has_seeds=False))
    classes = voters.classes(images)
    given = SeedAnswers(options.answers, images.ids, classes.names).given()
    wanted = options.of_apply(has_seeds=len(given.rows) > 0)

    def told(stage: str, done: int, total: int) -> None:
        progress(stage, done, total)
        if stage == "reading the files" and done == total:
            progress("voting", 0, len(images))  # the first block may take a while

    with locked(options.out):
        is_still_own = is_own(options.out)
        if is_still_own:
            note_own(options.out, wanted)
            apply(wanted, told)
    if not is_still_own:  # another command has come between
        return vote_on_all(asked, job, images, progress)
    config = load_config(options.out)
    votes = load_votes(options.out, config)
    labels = load_labels(options.out, config, images.ids)
    summary = load_summary(options.out)
    loaded = {lf.name: lf for lf in voters.loaded.lfs}
    facts = [
        _with_faults(
            _facts(loaded[one.name], one.key, voters.loaded.lfs, classes),
            loaded[one.name],
            {n: (f.total, f.message) for n, f in summary.faults.items()},
        )
        for one in config.lfs
    ]
    outcome = make_outcome(
        votes=votes,
        labels=labels,
        rows=np.arange(len(images)),
        is_shown=np.ones(len(images), bool),
        truth=classes.truth,
        class_names=config.class_names,
        facts=facts,
        left_out=dict(summary.left_out),
        notes=summary.notes,
        outside=functions_outside(voters.loaded.outside),
        networks=_networks(config.features),
        calls=summary.lf_calls,
        feature_values=summary.feature_values,
    )
    if summary.judged is not None and summary.seed_accuracy is not None:
        n = len(outcome.seed_rows)
        judged = {"seed_right": round(summary.seed_accuracy * n), "seed_judged": n}
        outcome = Outcome(**{**vars(outcome), **judged, "chosen": summary.chosen})
    return _finished(asked, job, outcome)


def _networks(keys: Mapping[str, str]) -> dict[str, str]:
    return {name: keys[name] for name in network_features(keys)}


def see_looks(
    asked: dict[str, Any], job: dict[str, Any], images: ImageSource, progress: Progress
) -> dict[str, Any]:
    """Describe how every image looks: what sorting, grouping and the map go by.

    `job` has "networks", as `looks_of` takes them.
    """
    os.nice(10)
    options = options_of(asked)
    seen = looks_of(images, options.out, job["networks"], progress)
    progress("finding near-duplicates", 0, 1)
    twins = near_duplicates(seen.values, seen.grays, random_state=options.seed)
    place = options.out / "studio" / "looks.npz"
    made_of = as_text(json.dumps(job["networks"], sort_keys=True))
    looks = np.nan_to_num(seen.values)  # unreadable images: the mean look
    save_arrays(place, {"looks": looks, "twins": twins, "of": made_of})
    return {"arrays": str(place)}


def lay_out_map(
    asked: dict[str, Any], job: dict[str, Any], images: ImageSource, progress: Progress
) -> dict[str, Any]:
    """Place every image in a plane, by its look or, if asked, by its label too.

    `job` has "by": "look", or "labels" as they are now.
    """
    os.nice(10)
    options = options_of(asked)
    folder = options.out / "studio"
    seen = load_arrays(folder / "looks.npz")
    looks, made_of = seen["looks"], seen["of"]
    labels = _labels_now(folder, len(images)) if job["by"] == "labels" else None
    progress("laying out the map", 0, 1)
    places = map_layout(looks, labels, random_state=options.seed)
    place = folder / "map.npz"
    held = load_arrays(place)
    kept = {name: held[name] for name in held if len(held[name]) == len(images)}
    if not np.array_equal(held.get("of", ()), made_of):
        kept = {}  # of other looks
    save_arrays(place, {**kept, job["by"]: places, "of": made_of})
    return {"arrays": str(place)}


def _labels_now(folder: Path, n: int) -> NDArray[np.int64]:
    """Give the newest label of each image, -1 where there is none."""
    labels = np.full(n, -1, np.int64)
    for name in ("preview.npz", "all.npz"):
        with contextlib.suppress(*UNREADABLE):
            outcome = Outcome.from_bytes((folder / name).read_bytes())
            labels[outcome.rows] = outcome.labels
    return labels


def rank_features(
    asked: dict[str, Any], job: dict[str, Any], images: ImageSource, progress: Progress
) -> dict[str, Any]:
    """Rank the features that tell selected images from a sample of the others."""
    options = options_of(asked)
    ranked, own = tell_apart(
        images,
        np.asarray(job["rows"], np.int64),
        options.preview,
        FunctionVotes(options.of_apply(has_seeds=False)).loaded.lfs,
        kept=options.out / "studio" / "measured.npz",
        progress=progress,
        random_state=options.seed,
    )
    label, name = int(job["label"]), str(job["class_name"])
    found = []
    for each in ranked:
        expression = each.feature if each.feature in own else None
        text = snippet(each, label, name, expression=expression)
        what = None if each.dimension is None else f"number {each.dimension}"
        if each.dimension is not None and each.feature not in own:
            what = number_name(each.feature, each.dimension)
        found.append({**vars(each), "number": what, "snippet": text})
    return {"ranked": found}


def write_page(
    asked: dict[str, Any], job: dict[str, Any], images: ImageSource, progress: Progress
) -> dict[str, Any]:
    """Do as `lfkit report` does."""
    os.nice(10)
    report(ReportOptions(options_of(asked).out), progress)
    return {}


def _finished(
    asked: dict[str, Any], job: dict[str, Any], outcome: Outcome
) -> dict[str, Any]:
    options = options_of(asked)
    place = options.out / "studio" / f"{job['job']}.npz"
    outcome.save(place)
    kept = remember_code(options.lfs)
    return {
        "outcome": str(place),
        "files": files_behind(options.lfs),
        "modules": _libraries_loaded(),
        "note": kept or "",
    }


def _libraries_loaded() -> list[str]:
    """Name what the next fork need not import again; never a user's module."""
    return [n for n in [*sys.modules] if n == "torch" or n.startswith("lfkit.")]


def _facts(
    lf: LabelingFunction,
    key: str,
    unfitted: list[LabelingFunction],
    classes: Classes,
) -> FunctionFacts:
    fn = inspect.unwrap(lf.fn)
    code = getattr(fn, "__code__", None)
    place, source = "", ""
    # Of a ready-made function the lines are lfkit's, and tell its user nothing.
    if code is not None and not code.co_filename.startswith(_PACKAGE):
        place = f"{os.path.basename(code.co_filename)}:{code.co_firstlineno}"
        try:
            source = inspect.getsource(fn)[:_MOST_SOURCE]
        except (OSError, TypeError):  # made by exec, or the file has gone
            source = ""
    own = next(each for each in unfitted if each.name == lf.name)
    return FunctionFacts(
        name=lf.name,
        key=key,
        kind=lf.kind,
        doc=lf.doc,
        classes=tuple(
            classes.names[y] for y in lf.classes or range(len(classes.names))
        ),
        learns=not is_fixed(own),
        place=place,
        source=source,
    )


def _with_faults(
    facts: FunctionFacts, lf: LabelingFunction, faults: dict[str, tuple[int, str]]
) -> FunctionFacts:
    """Add how often a function, or a feature behind it, has failed."""
    names = [lf.name, *(node.name for node in ancestors(lf.features))]
    found = [faults[name] for name in names if name in faults]
    if not found:
        return facts
    count, text = max(found)
    return FunctionFacts(**{**vars(facts), "failed": count, "traceback": text})


def _first_trace(examples: dict[str, tuple[str, str, str]]) -> str:
    image, message, trace = next(iter(examples.values()))
    return trace or f"{message} (image {image})"
