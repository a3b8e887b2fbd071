"""`lfkit freeze`: what a finished run learned, as a folder that labels new images."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lfkit.aggregators.aggregate import without_seeds
from lfkit.aggregators.fitted_labels import aggregate_once
from lfkit.aggregators.vote_model import PARTS as MODEL_PARTS
from lfkit.aggregators.vote_model import VoteModel, fit_vote_model
from lfkit.commands.labeler import Labeler
from lfkit.commands.labeler_card import card
from lfkit.commands.options import FreezeOptions
from lfkit.commands.refine_labels import feature_sets_of, refinement_of
from lfkit.commands.training_data import applied, with_code
from lfkit.commands.vote_sources import VotedImages, wants_unseeded
from lfkit.data.image_part import ImagePart
from lfkit.data.image_source import ImageSource
from lfkit.data.labels import Labels, score
from lfkit.data.progress import Progress, with_prefix
from lfkit.errors import InputError
from lfkit.labeling.applier import LFApplier
from lfkit.labeling.classes import Classes
from lfkit.labeling.copied_sources import CopiedSources, copy_sources
from lfkit.labeling.frozen_functions import code_keys, learned_by
from lfkit.labeling.trusted_code import is_shipped
from lfkit.labeling.unseeded_votes import unseeded_votes
from lfkit.runs.apply_options import BASELINE
from lfkit.runs.labeler_files import (
    SOURCES,
    FrozenFunction,
    LabelerRecord,
    check_new,
    write_labeler,
)
from lfkit.runs.object_tree import TreeWriter
from lfkit.runs.run import Run, load_run
from lfkit.runs.run_config import versions
from lfkit.runs.run_files import unreadable_rows
from lfkit.runs.store import RunStore

_CHECKED = 500  # images that the labeler labels again before it is written


@dataclass(frozen=True)
class Frozen:
    """Result of `lfkit freeze`.

    Attributes
    ----------
    folder : of the labeler.
    megabytes : of all its files.
    agreement : share of the run's labels that it gives again; exact without
        refinement.
    checked : images behind `agreement`.
    evidence : how right labels are, with the protocol.
    is_shipped : all of its code came with lfkit: labeling asks for no trust.
    notes : what of the run is not in it, and what whoever labels needs.
    """

    folder: str
    megabytes: float
    functions: int
    classes: int
    agreement: float
    checked: int
    evidence: dict[str, Any]
    is_shipped: bool
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON-ready values."""
        return asdict(self)


def freeze(options: FreezeOptions, progress: Progress | None = None) -> Frozen:
    """Write what a run learned as a folder that labels new images without the run."""
    check_new(options.out)
    run = load_run(options.run)
    _check_can_be_frozen(run)
    run = with_code(run, options.lfs, trust_code=options.trust_code)
    config, asked = run.config, run.config.options
    images = run.open_images(progress)
    applier = applied(run, images, progress)
    assert applier is not None, "_check_can_be_frozen has looked"
    lfs = applier.lfs_
    lost = unreadable_rows(run.index)
    settings = (asked.aggregator, asked.class_balance, asked.seed, lost)
    labels = aggregate_once(RunStore(run.folder), run.votes, *settings, keep=False)
    model = fit_vote_model(run.votes, *settings)
    copied = copy_sources(asked.lfs, lfs, SOURCES)
    kept = run.stored.kept
    record = LabelerRecord(
        data=asked.data,
        n_images=len(images),
        aggregator=asked.aggregator,
        chosen=labels.chosen,
        class_balance=asked.class_balance,
        seed=asked.seed,
        shape=config.shape,
        white=_white(config.decoding),
        lf_timeout=asked.lf_timeout,
        class_names=config.class_names,
        specs=tuple(copied.specs),
        kinds=asked.kinds,
        functions=_functions(applier),
        least_confidence=None if kept is None else kept.least_confidence,
        learned=None,
        model=None,
        evidence={},
        notes=tuple(copied.notes),
        outside=copied.outside,
        versions=versions(),
    )
    labeler = Labeler(record, tuple(lfs), model)
    if asked.refine:
        labeler = _with_refinement(labeler, run, images, applier, labels, progress)
    agreement, checked, labeler = _checked(labeler, run, images)
    evidence = _evidence(run, labels, agreement, checked, labeler)
    record = labeler.record.model_copy(update={"evidence": evidence})
    megabytes = _write(options.out, replace(labeler, record=record), run, copied)
    return Frozen(
        folder=str(options.out),
        megabytes=megabytes,
        functions=len(lfs),
        classes=len(config.class_names),
        agreement=agreement,
        checked=checked,
        evidence=evidence,
        is_shipped=all(map(is_shipped, record.specs)),
        notes=record.notes,
    )


def _check_can_be_frozen(run: Run) -> None:
    asked = run.config.options
    if asked.votes is not None:
        raise InputError(
            f"the votes of {run.folder} came from a file, so no function can vote on "
            "new images; freeze a run of labeling functions (--lfs)."
        )
    if asked.aggregator == BASELINE:
        raise InputError(
            f"the labels of {run.folder} are those of a baseline, which is not kept; "
            "run `lfkit apply` with --with auto, and freeze that."
        )


def _white(decoding: str) -> int:
    """Read which gray of 16 bits is white in the run's images."""
    found = re.search(r" white=(\d+)", decoding)
    return int(found[1]) if found else 65535


def _functions(applier: LFApplier) -> tuple[FrozenFunction, ...]:
    keys = code_keys(applier.lfs_)
    return tuple(
        FrozenFunction(
            name=lf.name,
            kind=lf.kind,
            doc=lf.doc,
            classes=lf.classes,
            soft=lf.soft,
            code_key=keys[lf.name],
        )
        for lf in applier.lfs_
    )


def _with_refinement(
    labeler: Labeler,
    run: Run,
    images: ImageSource,
    applier: LFApplier,
    labels: Labels,
    progress: Progress | None,
) -> Labeler:
    """Add what the run's refinement learned; the run's store has it."""
    from lfkit.refinement.frozen_model import freeze_model

    asked = replace(run.config.options, recompute=())
    store = RunStore(run.folder)
    unseeded = None
    if run.votes.seed_rows is not None and wants_unseeded(asked):
        unseeded = unseeded_votes(
            applier,
            images,
            store=store,
            random_state=asked.seed,
            progress=with_prefix("without seeds", progress),
        )
    voted = VotedImages(
        images,
        Classes(run.config.class_names, run.truth, ()),
        run.votes,
        store,
        lfs=tuple(applier.lfs_),
        unseeded=unseeded,
        feature_keys=applier.feature_keys_,
        report=applier.report_,
    )
    sets = feature_sets_of(asked, voted, progress)
    found = refinement_of(asked, voted, labels, sets, progress)
    if not found.is_refined:
        note = (
            f"the run's labels are those of its votes, and so are these: {found.note}"
        )
        notes = (*labeler.record.notes, note)
        return replace(
            labeler, record=labeler.record.model_copy(update={"notes": notes})
        )
    model = freeze_model(
        found.model,
        sets,
        applier.feature_keys_,
        asked.encoders,
        feature_sets_of(asked, voted, by_seeds=False)
        if found.model.without_seeds
        else {},
    )
    return replace(labeler, refinement=model)


def _checked(
    labeler: Labeler, run: Run, images: ImageSource
) -> tuple[float, int, Labeler]:
    """Label some of the run's images again, and be as sure on the mean as the run.

    Seeds are left out: their label was given.
    """
    usable = ~run.labels.is_seed
    usable[unreadable_rows(run.index)] = False
    rows = np.flatnonzero(usable)
    if not len(rows):
        return 1.0, 0, labeler
    rows = np.unique(rows[np.linspace(0, len(rows) - 1, _CHECKED).astype(int)])
    part = ImagePart(images, rows)
    again = labeler.label(part).labels.proba
    proba = run.labels.proba[rows]
    same = float((again.argmax(axis=1) == proba.argmax(axis=1)).mean())
    if labeler.refinement is not None:
        sure = float(proba.max(axis=1).mean())
        model = labeler.refinement.as_sure_as(again, sure)
        labeler = replace(labeler, refinement=model)
    return same, len(rows), labeler


def _evidence(
    run: Run, labels: Labels, agreement: float, checked: int, labeler: Labeler
) -> dict[str, Any]:
    """Say how right the run's labels are, by which protocol, and how alike these."""
    held = labels.held_out
    found: dict[str, Any] = {
        "agreement_with_the_run": agreement,
        "images_compared": checked,
        "seeds": 0 if held is None else len(held.labels),
    }
    if held is not None:
        found["held_out_accuracy_of_votes"] = held.accuracy
        found["votes_are_calibrated"] = held.is_calibrated
        found["temperature"] = held.temperature
    refinement = run.stored.refinement
    if labeler.refinement is not None and refinement is not None:
        by_stage = {stage.name: stage.held_out for stage in refinement.stages}
        found["held_out_accuracy_by_stage"] = by_stage
    accuracy = score(run.labels.labels, run.truth, run.given)
    if accuracy is not None:
        found["accuracy_of_the_run"] = accuracy.of_all
        found["images_scored"] = accuracy.n
    return found


def _write(out: Path, labeler: Labeler, run: Run, copied: CopiedSources) -> float:
    """Write the folder; give its megabytes."""
    parts = dict(MODEL_PARTS)
    if labeler.refinement is not None:
        from lfkit.refinement.frozen_model import PARTS

        parts |= PARTS
    trees = TreeWriter(parts)
    model: VoteModel = labeler.model
    record = labeler.record.model_copy(
        update={
            "learned": trees.write(learned_by(labeler.lfs), "learned"),
            "model": trees.write((model.aggregator, model.calibration), "model"),
            "refinement": trees.write(labeler.refinement, "refinement"),
            "seeds": trees.write(_seeds(run), "seeds"),
        }
    )
    write_labeler(out, record, trees.arrays, copied.files, card(record))
    return sum(p.stat().st_size for p in out.rglob("*") if p.is_file()) / 1e6


def _seeds(run: Run) -> dict[str, Any] | None:
    """Give the held-out votes on the seeds, to fit an aggregator again by."""
    votes = without_seeds(run.votes, unreadable_rows(run.index))
    fold = votes.seed_out_of_fold
    if fold is None:
        return None
    return {
        "labels": votes.seed_labels,
        "hard": fold.hard,
        "soft": fold.soft,
        "allowed": fold.allowed,
    }
