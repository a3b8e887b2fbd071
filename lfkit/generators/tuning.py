"""Tuning on another domain: which generator may be tuned from which."""

from __future__ import annotations

from lfkit.errors import InputError
from lfkit.generators.gan.config import GanConfig

# Settings that decide what weights there are: a tuned generator has its source's.
_OF_THE_NETWORK = ("network", "width", "z_dim", "label_mode", "head_on", "n_codes")


def check_kinds(kind: type, source: type, *, is_tunable: bool) -> None:
    """Refuse a kind of generator that cannot be tuned, and a source of another kind.

    Parameters
    ----------
    is_tunable : the first kind can be tuned.
    """
    name = kind.__name__
    if not is_tunable:
        raise InputError(
            f"{name} cannot be tuned on another domain: its labels do not come from a "
            "part that can be kept. Use `adp`."
        )
    if source is not kind:
        raise InputError(
            f"the source is a {source.__name__} and this is a {name}; train a source "
            "of the same kind."
        )


def check_same_network(plan: GanConfig, source: GanConfig) -> None:
    """Refuse a plan whose networks have other weights than the source's."""
    for setting in _OF_THE_NETWORK:
        mine, theirs = getattr(plan, setting), getattr(source, setting)
        if mine != theirs:
            raise InputError(
                f"{setting} is {mine!r}, and {theirs!r} in the source, whose network "
                "it begins as; leave it out."
            )
