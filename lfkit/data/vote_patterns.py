"""Vote patterns as tables: which votes occur together, and on how many images.

Aggregators treat images alike that have the same votes, so a few thousand patterns say
of a million images all that a fit needs.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lfkit.data.places import read_place
from lfkit.data.votes import Patterns, Votes, merge_patterns
from lfkit.errors import VotesError

_NOTE = b"lfkit.patterns"


def patterns_table(votes: Votes, about: Mapping[str, Any]) -> pa.Table:
    """Give the distinct rows of votes, each once, with the number of their images.

    Parameters
    ----------
    about : what else a reader has to know.

    Raises
    ------
    VotesError
        If a function votes softly: hardly two images have the same weights.
    """
    if votes.soft is not None:
        raise VotesError(
            "soft votes are no patterns that occur again; leave out functions that "
            "vote softly."
        )
    found = votes.patterns()
    order = np.lexsort(found.votes.hard.T[::-1]) if votes.n_functions else slice(None)
    some = found.votes.rows(order)
    n, m = some.hard.shape
    columns: dict[str, Any] = {
        "count": pa.array(found.counts[order].astype(np.int64)),
        "votes": pa.FixedSizeListArray.from_arrays(
            pa.array(some.hard.reshape(-1), pa.int16()), m
        ),
    }
    if some.allowed is not None:
        packed = np.packbits(some.allowed.reshape(n, -1), axis=1)
        columns["sets"] = pa.array([row.tobytes() for row in packed], pa.binary())
    told = {**about, "names": votes.names, "n_classes": votes.n_classes}
    return pa.table(columns).replace_schema_metadata({_NOTE: json.dumps(told).encode()})


def read_patterns(places: Sequence[str]) -> tuple[Patterns, dict[str, Any]]:
    """Read and add up patterns of several shards.

    Returns
    -------
    The patterns, each once, and what else the files say: "labeler", "class_names".

    Raises
    ------
    VotesError
        If a file is none of patterns, or they are by different labelers.
    """
    parts, about = [], None
    for place in places:
        part, told = _read(place)
        if about is not None and told != about:
            raise VotesError(
                f"{place} has votes by another labeler than {places[0]}; name the "
                "patterns of one."
            )
        about = told
        parts.append(part)
    assert about is not None, "there are files"
    return merge_patterns(parts), about


def _read(place: str) -> tuple[Patterns, dict[str, Any]]:
    try:
        table = pq.read_table(
            io.BytesIO(read_place(place)), page_checksum_verification=True
        )
        told = json.loads((table.schema.metadata or {})[_NOTE])
        names, k = tuple(told["names"]), int(told["n_classes"])
        n, m = table.num_rows, len(names)
        flat = table["votes"].combine_chunks().flatten()
        hard = flat.to_numpy(zero_copy_only=False).reshape(n, m)
        allowed = None
        if "sets" in table.column_names:
            packed = np.frombuffer(b"".join(table["sets"].to_pylist()), np.uint8)
            bits = np.unpackbits(packed.reshape(n, -1), axis=1, count=m * k)
            allowed = bits.reshape(n, m, k).astype(bool)
        votes = Votes(hard, names, k, allowed=allowed)
        counts = table["count"].to_numpy().astype(np.float64)
    except (pa.ArrowException, KeyError, ValueError, TypeError) as error:
        raise VotesError(
            f"{place} cannot be read as patterns of votes ({type(error).__name__}); "
            "give files that `lfkit label --patterns` wrote."
        ) from error
    return Patterns(votes, counts, np.arange(n)), told
