"""`lfkit diagnose`: what limits the labels."""

from __future__ import annotations

import shlex

from lfkit.cli.console import echo
from lfkit.cli.options import Json, with_options
from lfkit.commands.options import DiagnoseOptions


@with_options(DiagnoseOptions)
def diagnose(options: DiagnoseOptions, as_json: Json = False) -> None:
    """Say what limits the labels: gaps, copies, how far votes can go, the baselines.

    With --images also which images are near-duplicates, like no other, or seeds that
    look wrong.
    """
    from lfkit.cli.progress import Bars
    from lfkit.cli.summary_panel import show_bullets
    from lfkit.commands.diagnose import diagnose as diagnose_run
    from lfkit.runs.json_text import to_json

    with Bars(quiet=as_json) as bars:
        found = diagnose_run(options, bars)
        bars.close()
    if as_json:
        echo(to_json(found.to_dict()))
    else:
        show_bullets(found.sentences())
        echo(f"next: lfkit report {shlex.quote(str(options.run))}")
