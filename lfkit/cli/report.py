"""`lfkit report`: a run as one HTML page."""

from __future__ import annotations

from lfkit.cli.console import echo
from lfkit.cli.options import Json, with_options
from lfkit.commands.options import ReportOptions


@with_options(ReportOptions)
def report(options: ReportOptions, as_json: Json = False) -> None:
    """Show everything that is known of a run on one page."""
    from lfkit.cli.progress import Bars
    from lfkit.commands.report import report as write_report
    from lfkit.runs.json_text import to_json

    with Bars(quiet=as_json) as bars:
        found = write_report(options, bars)
    if as_json:
        echo(to_json(found.to_dict()))
        return
    for note in found.notes:
        echo(f"Note: {note}.")
    size = found.report.stat().st_size / 1e6
    echo(
        f"{found.report}: {len(found.sections)} sections, {size:.1f} MB; open it in a "
        "browser"
    )
