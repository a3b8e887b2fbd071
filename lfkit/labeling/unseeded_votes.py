"""Votes of functions that need no seeds, as if no seed were known."""

from __future__ import annotations

from collections.abc import Collection

from lfkit.data.image_source import ImageSource
from lfkit.data.progress import Progress
from lfkit.data.votes import Votes
from lfkit.errors import DeclarationError, FaultError
from lfkit.features.feature import ancestors
from lfkit.labeling.applier import LFApplier
from lfkit.runs.store import Store


def unseeded_votes(
    applied: LFApplier,
    images: ImageSource,
    *,
    recompute: Collection[str] = (),
    store: Store | None = None,
    random_state: int = 0,
    progress: Progress | None = None,
) -> Votes | None:
    """Let functions vote by their thresholds' defaults; None if none can, or none does.

    What fails only so is added to the applier's report.

    Parameters
    ----------
    applied : has let the same functions vote with seeds; those that need seeds are
        left out here.
    recompute : names of functions and features, or "all": what learned has votes of its
        own by its defaults, which are made again, too.
    store : that of the votes with seeds: it has what does not depend on these.
    """
    ready = [lf for lf in applied.lfs if not lf.needs_seeds]
    if not ready:
        return None
    # What has no thresholds has just been computed.
    again = [
        lf.name
        for lf in ready
        if lf.thresholds
        and {*recompute} & {"all", lf.name, *(n.name for n in ancestors(lf.features))}
    ]
    applier = LFApplier(
        ready,
        applied.n_classes,
        n_workers=applied.n_workers,
        device=applied.device,
        lf_timeout=applied.lf_timeout,
        strict=applied.strict,
    )
    try:
        votes = applier.apply(
            images,
            random_state=random_state,
            store=store,
            recompute=again,
            progress=progress,
        )
    except DeclarationError:  # each failed
        votes = None
    except FaultError as error:
        raise FaultError(
            f"{error}\nThis is without seeds, by the defaults of thresholds."
        ) from error
    applied.report_.add_unseeded(applier.report_)
    return votes if votes is not None and votes.voted.any() else None
