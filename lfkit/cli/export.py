"""`lfkit export`: the votes or the labeled images of a run, for other tools."""

from __future__ import annotations

from lfkit.cli.console import echo
from lfkit.cli.options import Json, with_options
from lfkit.commands.options import ExportOptions


@with_options(ExportOptions)
def export(options: ExportOptions, as_json: Json = False) -> None:
    """Write votes, or labeled images, for other tools; no function is called."""
    from lfkit.cli.progress import Bars
    from lfkit.commands.export import export as export_run
    from lfkit.runs.json_text import to_json

    with Bars(quiet=as_json) as bars:
        found = export_run(options, bars)
        bars.close()
    if as_json:
        echo(to_json(found.to_dict()))
        return
    if found.labeled is None:
        what = f"{found.functions:,} functions' votes on {found.images:,} images"
    else:
        what = f"{found.images:,} images, {found.labeled:,} of them labeled"
    echo(f"{found.file}: {what}")
    for note in found.notes:
        echo(f"Note: {note}.")
    for sentence in found.left_out:
        echo(sentence)
