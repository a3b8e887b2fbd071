"""`lfkit apply`: images and labeling functions in, labels out."""

from __future__ import annotations

import typer

from lfkit.cli.console import echo
from lfkit.cli.options import Json, with_options
from lfkit.runs.apply_options import ApplyOptions


@with_options(ApplyOptions)
def apply(options: ApplyOptions, as_json: Json = False) -> None:
    """Label every image of DATA with labeling functions.

    Killed at any moment, the same command goes on from what is on disk.
    """
    from lfkit.cli.progress import Bars
    from lfkit.cli.summary_panel import show_summary
    from lfkit.commands.apply import apply as apply_lfs
    from lfkit.runs.json_text import to_json
    from lfkit.runs.run_files import check_folder
    from lfkit.runs.store import locked

    check_folder(options.out)
    try:
        with locked(options.out), Bars(quiet=as_json) as bars:
            summary = apply_lfs(options, bars)
            bars.close()
    except KeyboardInterrupt:
        echo(
            f"\nStopped. What is computed is kept in {options.out}; run the same "
            "command to go on.",
            err=True,
        )
        raise typer.Exit(130) from None
    if as_json:
        echo(to_json(summary.to_dict()))
    else:
        show_summary(summary)
