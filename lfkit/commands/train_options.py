"""The settings of a generator, as the command line gives them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lfkit.errors import InputError
from lfkit.runs.options import check_seed


def training_settings(
    config: Path | None, pairs: Sequence[str], steps: int | None, seed: int
) -> dict[str, Any]:
    """Read what a generator is trained with: a file, "key=value" texts, options."""
    if steps is not None and steps < 1:
        raise InputError(f"--steps is {steps}; give 1 or more.")
    check_seed(seed)
    found = read_settings(config, pairs)
    if "random_state" in found:
        raise InputError("random_state is set by --seed; leave it out of the settings.")
    if "n_steps" in found and steps is not None:
        raise InputError("give n_steps, --steps or --max-minutes, only one of them.")
    found["random_state"] = seed
    if steps is not None:
        found["n_steps"] = steps
    return found


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
