"""A run folder that the studio opens: its options go on, its labels are not lost.

Labels that `lfkit apply` has made may have cost hours, and seeds that the studio does
not have. Only labels that the studio itself has made are replaced by newer ones.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from lfkit.data.files import write_atomically
from lfkit.errors import RunError
from lfkit.runs.apply_options import BASELINE, ApplyOptions
from lfkit.runs.run_config import RunConfig, load_config
from lfkit.studio.answers import SeedAnswers
from lfkit.studio.studio_options import StudioOptions

_NOTED = "own-runs.json"
_MOST_NOTED = 50
_TAKEN_OVER = ("size", "color", "seed", "kinds", "class_balance")
_SUFFIX = ".csv"  # of a file of labels that answers can be added to


def run_of(options: StudioOptions) -> RunConfig | None:
    """Read what the run folder holds of the same data; None if nothing."""
    try:
        config = load_config(options.out)
    except RunError:
        return None
    return config if _place(config.options.data) == _place(options.data) else None


def taken_over(options: StudioOptions) -> StudioOptions:
    """Set what is left to its default as the run in the folder has it."""
    config = run_of(options)
    if config is None:
        return options
    known = config.options
    defaults = {each.name: each.default for each in fields(StudioOptions)}
    wanted: dict[str, Any] = {name: getattr(known, name) for name in _TAKEN_OVER}
    if known.aggregator != BASELINE:
        wanted["aggregator"] = known.aggregator
    if _is_csv(known) and not options.answers.exists():
        wanted["seed_labels"] = known.seed_labels
    changed = {
        name: value
        for name, value in wanted.items()
        if getattr(options, name) == defaults[name]
    }
    return replace(options, **changed)


def add_seeds(
    options: StudioOptions, ids: Sequence[str], names: tuple[str, ...]
) -> None:
    """Begin the file of answers with the seeds that the run has drawn or read."""
    config = run_of(options)
    if config is None or options.answers.exists() or config.class_names != names:
        return
    known = config.options
    if known.seeds_per_class is None and (known.seed_labels is None or _is_csv(known)):
        return
    row_of = {name: row for row, name in enumerate(ids)}
    pairs = [*zip(config.seed_images, config.seed_labels, strict=True)]
    answers = SeedAnswers(options.answers, ids, names, who="lfkit apply")
    for label in sorted({label for _, label in pairs}):
        rows = [row_of[name] for name, y in pairs if y == label and name in row_of]
        if rows:
            answers.give(rows, label, "seed of the run")


def is_own(out: Path) -> bool:
    """Tell whether the studio may replace the labels in a run folder."""
    if not (out / "run.json").exists():
        return True
    if (out / "active").exists():
        return False  # `lfkit active` goes on from the labels that it has begun with
    try:
        asked = _plain(load_config(out).options)
    except RunError:
        return False
    return asked in _noted(out)


def note_own(out: Path, options: ApplyOptions) -> None:
    """Note, before labels are made with these options, that it is the studio's doing.

    Noted before and not after: the process may be ended while it writes the run.
    """
    asked, noted = _plain(options), _noted(out)
    if asked in noted:
        return
    text = json.dumps([*noted, asked][-_MOST_NOTED:])
    write_atomically(out / "studio" / _NOTED, text.encode())


def kept_note(out: Path) -> str:
    """Say that the labels in the run folder stay, and what they have more."""
    try:
        known = load_config(out).options
    except RunError:
        return f"the labels in {out} stay as they are: its run.json cannot be read"
    more = [
        name
        for name, is_used in (
            ("--refine", known.refine),
            ("--target-precision", known.target_precision is not None),
            (f"--with {BASELINE}", known.aggregator == BASELINE),
        )
        if is_used
    ]
    who = "`lfkit apply` has made them"
    if (out / "active").exists():
        who = f"`lfkit active` has found them (delete {out / 'active'} to end that)"
    text = (
        f"the labels in {out} stay as {who}; what is shown here "
        "comes from the functions and answers as they are now"
    )
    return f"{text}, without {' and '.join(more)}" if more else text


def _is_csv(known: ApplyOptions) -> bool:
    given = known.seed_labels
    return given is not None and given.suffix.lower() == _SUFFIX and given.exists()


def _plain(options: ApplyOptions) -> Any:
    return TypeAdapter(ApplyOptions).dump_python(options, mode="json")


def _noted(out: Path) -> list[Any]:
    try:
        found = json.loads((out / "studio" / _NOTED).read_bytes())
    except (OSError, ValueError):
        return []
    return found if isinstance(found, list) else []


def _place(data: str) -> str:
    return os.path.realpath(os.path.expanduser(data))
