"""The `lfkit` command. Start-up stays light: each command imports what it needs."""

from __future__ import annotations

import sys

import typer

from lfkit.cli.active import active
from lfkit.cli.aggregate import aggregate
from lfkit.cli.analyze import analyze, diagnose
from lfkit.cli.apply import apply
from lfkit.cli.evaluate import evaluate
from lfkit.cli.export import export
from lfkit.cli.generate import generate
from lfkit.cli.listing import list_family
from lfkit.cli.report import report
from lfkit.cli.streams import result_alone
from lfkit.cli.train import train
from lfkit.errors import LfkitError

app = typer.Typer(
    name="lfkit",
    help="Label images with labeling functions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("apply")(apply)
app.command("analyze")(analyze)
app.command("diagnose")(diagnose)
app.command("aggregate")(aggregate)
app.command("export")(export)
app.command("train")(train)
app.command("active")(active)
app.command("generate")(generate)
app.command("evaluate")(evaluate)
app.command("report")(report)
app.command("list")(list_family)


def main() -> None:
    """Run the command line; exit 0 done, 2 the input is wrong, 1 a bug."""
    try:
        with result_alone():
            app()
    except LfkitError as error:
        from rich.console import Console

        console = Console(stderr=True, soft_wrap=True, highlight=False)
        console.print("error:", style="bold red", end=" ")
        console.print(str(error), markup=False, emoji=False)
        sys.exit(2)
