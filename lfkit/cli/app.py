"""The `lfkit` command. Start-up stays light: each command imports what it needs."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Annotated, NoReturn

import typer

from lfkit.cli.active import active
from lfkit.cli.aggregate import aggregate
from lfkit.cli.analyze import analyze
from lfkit.cli.apply import apply
from lfkit.cli.check import check
from lfkit.cli.diagnose import diagnose
from lfkit.cli.evaluate import evaluate
from lfkit.cli.export import export
from lfkit.cli.freeze import freeze
from lfkit.cli.generate import generate
from lfkit.cli.label import label
from lfkit.cli.list import list_family
from lfkit.cli.report import report
from lfkit.cli.streams import result_alone
from lfkit.cli.studio import studio
from lfkit.cli.train import train
from lfkit.errors import DeclarationError, FaultError, LfkitError, storage_error

app = typer.Typer(
    name="lfkit",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from lfkit.cli.console import echo
        from lfkit.runs.run_config import versions

        echo(f"lfkit {versions()['lfkit']}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Label images with labeling functions."""


app.command("apply")(apply)
app.command("analyze")(analyze)
app.command("diagnose")(diagnose)
app.command("aggregate")(aggregate)
app.command("freeze")(freeze)
app.command("label")(label)
app.command("export")(export)
app.command("train")(train)
app.command("active")(active)
app.command("generate")(generate)
app.command("evaluate")(evaluate)
app.command("report")(report)
app.command("studio")(studio)
app.command("list")(list_family)
app.command("check")(check)


def main() -> None:
    """Run the command line; exit 0 done, 2 the input is wrong, 1 a bug."""
    try:
        with result_alone():
            try:
                app(prog_name="lfkit")  # under `python -m lfkit`, too
            finally:
                _flush()  # here it can be told that nobody takes it
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):
            _leave_unread()
        raise
    except BrokenPipeError:
        _leave_unread()
    except LfkitError as error:
        # These two may end with the traceback of user code.
        has_lines = isinstance(error, (DeclarationError, FaultError))
        _fail(str(error), one_line=not has_lines)
    except OSError as error:
        _fail(str(storage_error(error)))
    except MemoryError as error:
        told = str(error) or "the system gives no more"
        _fail(f"there is too little memory ({told}); close other programs, or use less")


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _drop_output()
        raise storage_error(error, "standard output") from error


def _fail(sentence: str, *, one_line: bool = True) -> NoReturn:
    from lfkit.cli.console import Console, shown

    _drop_output()
    console = Console(stderr=True, soft_wrap=True)
    console.print("error:", style="bold red", end=" ")
    console.print(shown(sentence, one_line=one_line))
    sys.exit(2)


def _leave_unread() -> NoReturn:
    """End as other programs do whose reader, such as `head`, has gone."""
    _drop_output()
    sys.exit(128 + 13)  # SIGPIPE


def _drop_output() -> None:
    """Let what cannot be written go, or Python tries again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError):  # it may be no stream of the system
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
