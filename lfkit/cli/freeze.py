"""`lfkit freeze`: a finished run as a folder that labels new images."""

from __future__ import annotations

from lfkit.cli.console import echo
from lfkit.cli.options import Json, with_options
from lfkit.commands.options import FreezeOptions


@with_options(FreezeOptions)
def freeze(options: FreezeOptions, as_json: Json = False) -> None:
    """Keep what a run learned, to label new images without it."""
    from lfkit.cli.progress import Bars
    from lfkit.commands.freeze import freeze as freeze_run
    from lfkit.runs.json_text import to_json

    with Bars(quiet=as_json) as bars:
        found = freeze_run(options, bars)
        bars.close()
    if as_json:
        echo(to_json(found.to_dict()))
        return
    echo(
        f"{found.folder}: {found.functions} functions, {found.classes} classes, "
        f"{found.megabytes:.1f} MB"
    )
    echo(
        f"gives {found.agreement:.1%} of {found.checked:,} labels of the run again "
        "(how right they are: README.md in the folder)"
    )
    for note in found.notes:
        echo(f"Note: {note}.")
    trust = "" if found.is_shipped else " --trust-code"
    echo(f"next: lfkit label DATA --labeler {found.folder} --out OUT{trust}")
