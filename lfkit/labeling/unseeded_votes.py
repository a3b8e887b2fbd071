"""Votes of functions that need no seeds, as if no seed were known."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from lfkit.data.image_source import ImageSource
from lfkit.data.progress import Progress
from lfkit.data.votes import Votes
from lfkit.errors import DeclarationError
from lfkit.features.feature import ancestors
from lfkit.labeling.applier import LFApplier
from lfkit.labeling.labeling_function import LabelingFunction
from lfkit.runs.store import Store


def unseeded_votes(
    lfs: Sequence[LabelingFunction],
    images: ImageSource,
    n_classes: int,
    *,
    recompute: Collection[str] = (),
    lf_timeout: float | None = None,
    store: Store | None = None,
    random_state: int = 0,
    progress: Progress | None = None,
) -> Votes | None:
    """Let functions vote by their thresholds' defaults; None if none can, or none does.

    Parameters
    ----------
    lfs : as they are before anything is fitted; those that need seeds are left out.
    recompute : as `LFApplier.apply` takes it; other functions' names are left out.
    store : that of the votes with seeds: it has what does not depend on these.
    """
    ready = [lf for lf in lfs if not lf.needs_seeds]
    if not ready:
        return None
    known: set[Any] = {"all", *(lf.name for lf in ready)}
    known |= {node.name for node in ancestors(n for lf in ready for n in lf.features)}
    applier = LFApplier(ready, n_classes, lf_timeout=lf_timeout)
    try:
        votes = applier.apply(
            images,
            random_state=random_state,
            store=store,
            recompute=[name for name in recompute if name in known],
            progress=progress,
        )
    except DeclarationError:  # each failed, as it did beside the others
        return None
    return votes if votes.voted.any() else None
