"""Reads the options that are more than one word."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lfkit.errors import InputError


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Read "64" or "64x48" as (height, width).

    >>> parse_size("64x48")
    (64, 48)
    """
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise InputError(
            f"--size {text!r} is no size; give 64, or 64x48 (height x width)."
        )
    return int(sides[0]), int(sides[-1])


def split_list(text: str | None) -> tuple[str, ...]:
    """Read "a,b" as its parts.

    >>> split_list("heuristic, deep")
    ('heuristic', 'deep')
    """
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def split_shares(
    text: str | None, option: str = "--class-balance"
) -> tuple[float, ...] | None:
    """Read ".5,.3,.2" as numbers."""
    if text is None:
        return None
    try:
        return tuple(float(part) for part in split_list(text))
    except ValueError as error:
        raise InputError(
            f"{option} {text!r} is no list of shares; give one number per class, such "
            "as .5,.3,.2."
        ) from error


def read_settings(config: Path | None, pairs: Sequence[str]) -> dict[str, Any]:
    """Read a JSON file of settings, and "key=value" texts over them."""
    found: dict[str, Any] = {}
    if config is not None:
        try:
            found = json.loads(config.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"--config {config} cannot be read ({error}).") from error
        if not isinstance(found, dict):
            raise InputError(
                f'--config {config} holds no settings; expected {{"name": value}}.'
            )
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set {pair!r} is no setting; give key=value.")
        found[key.strip()] = value.strip()
    return found


def training_settings(
    config: Path | None, pairs: Sequence[str], steps: int | None, seed: int
) -> dict[str, Any]:
    """Read what a generator is trained with: a file, "key=value" texts, options."""
    if steps is not None and steps < 1:
        raise InputError(f"--steps is {steps}; give 1 or more.")
    if seed < 0:
        raise InputError(f"--seed is {seed}; give a whole number from 0 on.")
    found = read_settings(config, pairs)
    if "random_state" in found:
        raise InputError("random_state is set by --seed; leave it out of the settings.")
    if "n_steps" in found and steps is not None:
        raise InputError("give n_steps, --steps or --max-minutes, only one of them.")
    found["random_state"] = seed
    if steps is not None:
        found["n_steps"] = steps
    return found
