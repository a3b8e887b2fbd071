"""Shards keep their numbers when data has grown, so that what is done stays done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lfkit.data.shards.shard import Shard


def numbered_as_before(
    shards: Sequence[Shard], before: Sequence[str]
) -> list[Shard] | None:
    """Give shards the numbers that they had; those that are new come behind.

    Files of images may be added anywhere. Data that is cut may have grown at its end:
    its last shard then holds other images than before.

    Parameters
    ----------
    before : listings of the shards that were known, by number.

    Returns
    -------
    All shards by number; None if some that were known are gone.
    """
    listings = [shard.listing for shard in shards]
    if not any(shard.is_cut for shard in shards):
        known = set(before)
        if not known <= set(listings):
            return None
        new = [listing for listing in listings if listing not in known]
        place = dict(zip(listings, shards, strict=True))
        found = [place[listing] for listing in (*before, *new)]
    else:
        whole = len(before) - 1
        if len(listings) < len(before) or listings[:whole] != [*before[:whole]]:
            return None
        found = list(shards)
    return [replace(shard, index=number) for number, shard in enumerate(found)]
