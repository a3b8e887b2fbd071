"""`lfkit analyze`: the labeling functions, and the errors of the labels."""

from __future__ import annotations

from lfkit.cli.console import echo
from lfkit.cli.options import Json, with_options
from lfkit.commands.options import AnalyzeOptions


@with_options(AnalyzeOptions)
def analyze(options: AnalyzeOptions, as_json: Json = False) -> None:
    """Show the labeling functions' coverage, conflicts and accuracy, and the errors."""
    from lfkit.cli.console import Console
    from lfkit.cli.progress import Bars
    from lfkit.cli.summary_panel import show_bullets, show_functions
    from lfkit.commands.analyze import analyze as analyze_run
    from lfkit.runs.json_text import to_json

    with Bars(quiet=as_json) as bars:
        found = analyze_run(options, bars)
    if as_json:
        echo(to_json(found.to_dict()))
        return
    console, summary = Console(), found.summary
    show_functions(summary.functions, summary.class_names)
    if found.confusions:
        console.print("\nmost frequent errors", style="bold")
        for row in found.confusions:
            console.print(f"  {row.images:>7,}  {row.true} labeled as {row.labeled}")
    for name, (low, high) in found.intervals.items():
        console.print(f"\n{name}: 95 % between {low:.3f} and {high:.3f}", end="")
    console.print()
    notes = (f"Note: {note}." for note in summary.notes)
    show_bullets([*summary.findings, *notes])
    if found.sheet is not None:
        console.print(f"\n{found.sheet}: what each function voted for", soft_wrap=True)
