"""`lfkit label`: new images, in shards, by a frozen run."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import typer

from lfkit.cli.console import echo
from lfkit.cli.options import Json, with_options
from lfkit.commands.label_options import LabelOptions

if TYPE_CHECKING:
    from lfkit.commands.label import LabeledShards, Plan

_FAILED = 3  # some shards failed; the others are done
_MOST_LINES = 20


@with_options(LabelOptions)
def label(options: LabelOptions, as_json: Json = False) -> None:
    """Label images in shards with a frozen run, as often as it takes.

    Killed at any moment, the same command goes on; ends with 3 if a shard failed.
    """
    from lfkit.cli.progress import Bars
    from lfkit.commands.label import label as label_shards
    from lfkit.commands.label import plan
    from lfkit.runs.json_text import to_json

    if options.dry_run:
        found = plan(options)
        if as_json:
            echo(to_json(found.to_dict()))
        else:
            _show_plan(found)
        return
    try:
        # Ray tells what happens to its processes by print.
        with Bars(quiet=as_json) as bars, contextlib.redirect_stdout(sys.stderr):
            done = label_shards(options, bars)
    except KeyboardInterrupt:
        echo(
            f"\nStopped. The shards that are done are kept in {options.out}; run the "
            "same command to go on.",
            err=True,
        )
        raise typer.Exit(130) from None
    if as_json:
        echo(to_json(done.to_dict()))
    else:
        _show(done)
    if done.failed:
        raise typer.Exit(_FAILED)


def _show_plan(found: Plan) -> None:
    for name, is_done in [*found.shards.items()][:_MOST_LINES]:
        echo(f"{'done' if is_done else 'to do':<6} {name}")
    if len(found.shards) > _MOST_LINES:
        echo(f"… {len(found.shards):,} shards in all")
    left = sum(not is_done for is_done in found.shards.values())
    images = "" if found.images is None else f", about {found.images:,} images"
    echo(f"{left:,} shards to do{images}")
    if found.images_per_second is not None:
        echo(f"{found.images_per_second:,.0f} images a second in a short sample")
    if found.seconds:
        echo(f"about {found.seconds / 60:,.1f} minutes")
    for note in found.notes:
        echo(f"Note: {note}.")


def _show(done: LabeledShards) -> None:
    before = f", {done.done_before:,} were done before" if done.done_before else ""
    echo(f"{done.out}: {done.labeled_now:,} of {done.shards:,} shards labeled{before}")
    echo(
        f"{done.labeled:,} of {done.images:,} images labeled"
        + (f", {done.unreadable:,} cannot be read" if done.unreadable else "")
    )
    shown = [f"{name} {n:,}" for name, n in done.classes.items()]
    echo(", ".join(shown[:_MOST_LINES]) + (", …" if len(shown) > _MOST_LINES else ""))
    for name, counts in done.faults.items():
        told = ", ".join(f"{kind} {n:,}" for kind, n in counts.items())
        echo(f"Fault: {name}: {told}")
    for name, why in [*done.failed.items()][:_MOST_LINES]:
        echo(f"Failed: {name}: {why}")
    if len(done.failed) > _MOST_LINES:
        echo(f"… {len(done.failed):,} shards failed")
    for note in done.notes:
        echo(f"Note: {note}.")
