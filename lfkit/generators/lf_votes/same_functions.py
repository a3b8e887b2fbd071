"""Which functions a generator knows: votes of others say nothing to it."""

from __future__ import annotations

from collections.abc import Sequence

from lfkit.data.votes import Votes
from lfkit.errors import InputError


def check_same_functions(votes: Votes, names: Sequence[str]) -> None:
    """Refuse votes of other functions than those that a generator learned from.

    Parameters
    ----------
    names : of the latter, in their order.
    """
    if votes.names != tuple(names):
        raise InputError(
            f"these are votes of {len(votes.names)} functions, "
            f"{', '.join(votes.names[:3])}, …; it was trained with {len(names)}, "
            f"{', '.join(names[:3])}, …"
        )
