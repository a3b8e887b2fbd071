"""What functions that need no seeds say of images, as if no seed were known."""

from __future__ import annotations

from lfkit.aggregators import AGGREGATORS
from lfkit.aggregators.fitted_labels import aggregate_once
from lfkit.commands.vote_sources import VotedImages
from lfkit.data.labels import Labels
from lfkit.data.progress import Progress
from lfkit.data.votes import Votes
from lfkit.errors import DeclarationError
from lfkit.labeling.applier import LFApplier
from lfkit.runs.apply_options import ApplyOptions


def labels_without_seeds(
    options: ApplyOptions,
    voted: VotedImages,
    aggregator: str = "auto",
    progress: Progress | None = None,
) -> tuple[Votes, Labels] | None:
    """Give votes made without the run's seeds, and labels of these.

    A function whose thresholds have defaults votes by these. None where no function
    can vote, or none does.

    Parameters
    ----------
    aggregator : makes the labels, if it can do without seeds; else `auto`.
    """
    votes = _votes(options, voted, progress)
    if votes is None or not votes.voted.any():
        return None
    if aggregator != "auto" and AGGREGATORS[aggregator].learns_from_seeds:
        aggregator = "auto"
    labels = aggregate_once(
        voted.store,
        votes,
        aggregator,
        options.class_balance,
        options.seed,
        [*voted.images.known_problems, *voted.unreadable],
        keep_as="functions without seeds",
    )
    return votes, labels


def _votes(
    options: ApplyOptions, voted: VotedImages, progress: Progress | None
) -> Votes | None:
    if voted.lfs is None:  # made elsewhere, by people who had none of these seeds
        return voted.votes.unseeded()
    ready = [lf for lf in voted.unfitted if not lf.needs_seeds]
    if not ready:
        return None
    applier = LFApplier(
        ready, n_classes=voted.votes.n_classes, lf_timeout=options.lf_timeout
    )
    # Of functions that nothing is fitted of, and of features, the run has the values.
    again = [lf.name for lf in ready if lf.thresholds] if options.recompute else []
    try:
        return applier.apply(
            voted.images,
            random_state=options.seed,
            store=voted.store,
            recompute=again,
            progress=progress,
        )
    except DeclarationError:  # each of them failed, as the run's report tells
        return None
