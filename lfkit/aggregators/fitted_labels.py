"""Labels of a run's votes: fitted once, and kept with the run."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.aggregators.aggregate import aggregate_with, make_aggregator
from lfkit.data.labels import HeldOut, Labels
from lfkit.data.votes import Votes
from lfkit.errors import RunError
from lfkit.runs.cache_keys import fingerprint
from lfkit.runs.store import Store

# The last labels of each aggregator, in a file of its name, with the key of what they
# are made of. A file for each key would add 6 MB (60,000 images, ten classes) whenever
# a function is edited.
_PLACE = ("fitted", "labels")
_HELD_OUT = "held_out."


def aggregate_once(
    store: Store,
    votes: Votes,
    name: str,
    class_balance: Sequence[float] | None = None,
    random_state: int = 0,
    unreadable: Collection[int] = (),
    *,
    keep: bool = True,
    keep_as: str | None = None,
) -> Labels:
    """Do as `aggregate`; labels of the same votes, by the same code, are read instead.

    A file that is damaged is made anew.

    Parameters
    ----------
    keep : False writes nothing.
    keep_as : the file; None: of the aggregator's name. Other votes need another one,
        or each would take the other's place.
    """
    place = keep_as or name
    aggregator = make_aggregator(name, class_balance, random_state)
    absent = [] if votes.seed_rows is None else [*_common(votes.seed_rows, unreadable)]
    key = fingerprint((aggregator, name, _content(votes), absent, _CODE))
    try:
        stored = store.load(*_PLACE, place)
    except RunError:
        stored = None
        if keep:
            store.forget(*_PLACE)
    if stored is not None and stored["key"].item() == key:
        return _unpack(stored)
    labels = aggregate_with(aggregator, votes, name, unreadable)
    if keep:
        store.save(*_PLACE, place, {"key": np.asarray(key), **_pack(labels)})
    return labels


def _common(seeds: NDArray[np.int64], unreadable: Collection[int]) -> list[int]:
    """List the seeds without pixels: of all images without, only they change labels."""
    return np.intersect1d(seeds, [*unreadable]).astype(np.int64).tolist()


def _content(votes: Votes) -> tuple[Any, ...]:
    """Name votes by their content, those on the seeds included."""
    fold = votes.seed_out_of_fold
    arrays = (votes.hard, votes.soft, votes.allowed, votes.seed_rows, votes.seed_labels)
    return (
        votes.names,
        votes.n_classes,
        *map(_digest, arrays),
        None if fold is None else _content(fold),
    )


def _digest(array: NDArray[Any] | None) -> str | None:
    """Hash an array without a copy of it: soft votes may take gigabytes."""
    if array is None:
        return None
    state = hashlib.blake2b(f"{array.dtype.str} {array.shape}".encode(), digest_size=16)
    state.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return state.hexdigest()


def _pack(labels: Labels) -> dict[str, NDArray[Any]]:
    """Give every field as an array; what is None is left out."""
    fields = {name: value for name, value in vars(labels).items() if name != "held_out"}
    if labels.held_out is not None:
        held_out = vars(labels.held_out).items()
        fields |= {f"{_HELD_OUT}{name}": value for name, value in held_out}
    fields["warnings"] = np.asarray(labels.warnings, np.str_)
    return {n: np.asarray(value) for n, value in fields.items() if value is not None}


def _unpack(arrays: Mapping[str, NDArray[Any]]) -> Labels:
    fields: dict[str, Any] = {
        name: array if array.ndim else array.item()
        for name, array in arrays.items()
        if name != "key"
    }
    held_out = {
        name.removeprefix(_HELD_OUT): fields.pop(name)
        for name in [*fields]
        if name.startswith(_HELD_OUT)
    }
    fields["warnings"] = tuple(fields["warnings"].tolist())
    return Labels(**fields, held_out=HeldOut(**held_out) if held_out else None)


# What labels depend on beside votes and aggregator: an edit of it fits them again.
_CODE = (aggregate_with, Votes, _pack, _unpack)
