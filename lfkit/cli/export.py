"""`lfkit export`: the votes of a run, or of a file, for other tools."""

from __future__ import annotations

from lfkit.cli.console import echo
from lfkit.cli.options import Json, with_options
from lfkit.commands.options import ExportOptions


@with_options(ExportOptions)
def export(options: ExportOptions, as_json: Json = False) -> None:
    """Write votes for Snorkel, crowd-kit, WRENCH or a table; no function is called."""
    from lfkit.commands.export import export as export_votes
    from lfkit.runs.json_text import to_json

    found = export_votes(options)
    if as_json:
        echo(to_json(found.to_dict()))
        return
    echo(
        f"{found.file}: {found.functions:,} functions' votes on {found.images:,} images"
    )
    for note in found.notes:
        echo(f"Note: {note}.")
    for sentence in found.left_out:
        echo(sentence)
