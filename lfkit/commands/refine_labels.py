"""Labels improved by looking at the images, with the seeds and without any."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lfkit.aggregators import MajorityVote
from lfkit.aggregators.aggregate import make_aggregator
from lfkit.aggregators.auto import EQUAL
from lfkit.aggregators.fitted_labels import aggregate_once
from lfkit.commands.vote_sources import VotedImages
from lfkit.data.labels import Labels, scored_images
from lfkit.data.progress import Progress, with_prefix
from lfkit.data.votes import ABSTAIN, Votes
from lfkit.runs.apply_options import BASELINE, ApplyOptions

if TYPE_CHECKING:
    from lfkit.refinement.result import Refined

FUNCTIONS_FEATURES = "features"  # the set of all that functions measure


def feature_sets_of(
    options: ApplyOptions,
    voted: VotedImages,
    progress: Progress | None = None,
    *,
    by_seeds: bool = True,
) -> dict[str, Any]:
    """Give what refinement looks at, each weighed by itself.

    The functions' features together; what each trained network sees that they read or
    that is asked for; and the middle layers of a small one, if it is installed. Without
    seeds plain features take the place of the functions' own: those say again what the
    votes say, and confirm their mistakes.

    Parameters
    ----------
    by_seeds : False looks as if no seed were known.
    """
    from lfkit.encoders import open_encoder
    from lfkit.features.encoded import encoder_features
    from lfkit.nn.compute import best_device
    from lfkit.refinement import PixelFeatures, PretrainedFeatures, StoredFeatures
    from lfkit.refinement.encoded_images import encode_images
    from lfkit.refinement.tunable_images import tunable

    pixels, _ = voted.small(progress)
    found: dict[str, Any] = {}
    usable = {k: v for k, v in voted.feature_keys.items() if not k.learns_from_labels}
    plain = {key for node, key in usable.items() if node.encoder is None}
    stored = StoredFeatures(voted.store, voted.images, plain)
    if stored.widths and by_seeds and can_learn_from_seeds(voted):
        found[FUNCTIONS_FEATURES] = stored
    else:
        found["pixels"] = PixelFeatures(pixels)
    seen = {
        node.name: (key, node.encoder)
        for node, key in usable.items()
        if node.encoder is not None
    }
    for name in options.encoders:
        encoder = open_encoder(name)
        made = encoder_features(encoder)
        if not seen.keys() & {made.features.name, made.encoded.name}:
            key = encode_images(voted.store, voted.images, encoder, progress)
            seen[made.features.name] = key, encoder
    for name, (key, encoder) in sorted(seen.items()):
        network = tunable(voted.images, encoder, best_device())
        embedded = StoredFeatures(voted.store, voted.images, {key}, network)
        if embedded.widths:
            found[name] = embedded
    if PretrainedFeatures.is_installed():
        found["imagenet"] = PretrainedFeatures(pixels)
    return found


def can_learn_from_seeds(voted: VotedImages) -> bool:
    """Tell whether two classes have two seeds, and most that votes name have one."""
    from lfkit.refinement.build_problem import enough_classes

    labels, hard = voted.votes.seed_labels, voted.votes.hard
    if labels is None:
        return False
    named = np.setdiff1d(hard, [ABSTAIN])
    return enough_classes(labels, named) and (np.bincount(labels) >= 2).sum() >= 2


def relabeled(voted: VotedImages, labels: Labels, found: Refined) -> Labels:
    """Give labels as refined, if they are; they bring new evidence with them."""
    if not found.is_refined:
        return labels
    named = np.where(
        _readable(voted, len(labels.labels)), found.proba.argmax(axis=1), labels.labels
    )
    return labels.relabeled(named, found.proba, found.held_out)


def refinement_of(
    options: ApplyOptions,
    voted: VotedImages,
    labels: Labels,
    feature_sets: Mapping[str, Any],
    progress: Progress | None,
) -> Refined:
    """Refine labels, as far as the run's store does not have what the stages give."""
    from lfkit.refinement import STAGES, refine  # its networks need torch

    started = time.perf_counter()
    votes, held_out = voted.votes, labels.held_out
    seed_proba = seed_predicted = None
    if held_out is not None and votes.seed_rows is not None:
        # As the other images' are: calibrated, by models fitted without them. Of
        # seeds that cannot be read a baseline says nothing.
        rows, k = votes.seed_rows, held_out.proba.shape[1]
        seed_proba = np.full((len(rows), k), 1 / k)
        places = np.searchsorted(rows, held_out.rows)
        seed_proba[places] = held_out.proba
        seed_predicted = np.full(len(rows), ABSTAIN)
        seed_predicted[places] = held_out.predicted
    return refine(
        voted.images,
        votes,
        proba=labels.proba,
        seed_proba=seed_proba,
        seed_predicted=seed_predicted,
        aggregator=None
        if labels.chosen == BASELINE
        else make_aggregator(options.aggregator, options.class_balance, options.seed),
        features=feature_sets,
        class_prior=options.class_balance,
        surest=_surest(labels, votes),
        store=voted.store,
        stages=options.stages or STAGES,
        random_state=options.seed,
        max_minutes=options.max_minutes,
        truth=scored_images(voted.images, votes, voted.classes.truth, voted.unreadable),
        progress=progress,
        without_seeds=refined_without_seeds(options, voted, progress),
        started=started,
        small=voted.small(progress),
    )


def refined_without_seeds(
    options: ApplyOptions, voted: VotedImages, progress: Progress | None
) -> Refined | None:
    """Label and refine as if no seed were known, by functions that need none.

    None where nothing votes so, or no seed is known (`wants_unseeded`).
    """
    from lfkit.refinement import cheap_stages, refine

    votes = voted.unseeded
    if votes is None:
        return None
    say = with_prefix("without seeds", progress)
    labels = aggregate_once(
        voted.store,
        votes,
        options.aggregator,
        options.class_balance,
        options.seed,
        [*voted.images.known_problems, *voted.unreadable],
        keep_as="all without seeds",
    )
    found = refine(
        voted.images,
        votes,
        proba=labels.proba,
        features=feature_sets_of(options, voted, say, by_seeds=False),
        class_prior=options.class_balance,
        surest=_surest(labels, votes),
        store=voted.store,
        stages=cheap_stages(options.stages or None),
        random_state=options.seed,
        progress=say,
        small=voted.small(say),
    )
    return replace(found, posteriors={}, model=found.model.lean())


def _surest(labels: Labels, votes: Votes) -> float:
    """Give how sure labels may be on the mean where no seed tells.

    Equal trust multiplies votes as if each were right as often and none leaned on
    another: 52 rules for clothes were surer than right, and images could not correct
    them. It is then no surer than the plain vote is of one mind.
    """
    voted = votes.voted.any(axis=1)
    if labels.chosen != EQUAL or not voted.any():
        return 1.0
    return float(MajorityVote().fit_predict_proba(votes)[voted].max(axis=1).mean())


def _readable(voted: VotedImages, n: int) -> Any:
    readable = np.ones(n, bool)
    readable[[*voted.images.known_problems, *voted.unreadable]] = False
    return readable
