"""`lfkit evaluate`: how good labels and generated images are."""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING

from lfkit.cli.console import echo
from lfkit.cli.options import Json, with_options
from lfkit.commands.options import EvaluateOptions

if TYPE_CHECKING:
    from lfkit.cli.console import Console
    from lfkit.commands.evaluate import Evaluated
    from lfkit.commands.judge_usefulness import UsefulnessResult
    from lfkit.metrics import Score


@with_options(EvaluateOptions)
def evaluate(options: EvaluateOptions, as_json: Json = False) -> None:
    """Score labels and label models, generated images, and people's ratings."""
    from lfkit.cli.console import Console
    from lfkit.cli.progress import Bars
    from lfkit.commands.evaluate import evaluate as evaluate_run
    from lfkit.runs.json_text import to_json

    if options.useful:
        _judge_usefulness(options, as_json)
        return
    with Bars(quiet=as_json) as bars:
        result = evaluate_run(options, bars)
    if as_json:
        echo(to_json(result.to_dict()))
        return
    console = Console()
    _print_labels(console, result)
    _print_generated(console, result)
    _print_human(console, result)
    for note in result.notes:
        console.print(f"\nNote: {note}.", style="yellow", soft_wrap=True)
    for why in result.broken.values():
        console.print(f"\nWARNING: {why}", style="bold red", soft_wrap=True)
    report = ["lfkit", "report", str(options.run)]
    if options.labels is not None:  # scores by these are not kept
        report += ["--labels", str(options.labels)]
    console.print(f"\n{result.file}; next: {shlex.join(report)}", soft_wrap=True)


def _judge_usefulness(options: EvaluateOptions, as_json: bool) -> None:
    from lfkit.cli.console import Console
    from lfkit.cli.progress import Bars
    from lfkit.commands.judge_usefulness import judge_usefulness
    from lfkit.runs.json_text import to_json

    with Bars(quiet=as_json) as bars:
        say = (lambda text: None) if as_json else bars.say
        result = judge_usefulness(options, say, bars)
    if as_json:
        echo(to_json(result.to_dict()))
        return
    console = Console()
    _print_useful(console, result)
    for note in result.notes:
        console.print(f"\nNote: {note}.", style="yellow", soft_wrap=True)
    console.print(f"\n{result.found.verdict}", style="bold", soft_wrap=True)
    console.print(f"\n{result.file}", soft_wrap=True)


def _print_useful(console: Console, result: UsefulnessResult) -> None:
    from rich.table import Table

    found = result.found
    tested = found.rows[found.baseline]
    where = f"accuracy on {tested.n:,} images of {found.tested_on}"
    console.print(where, style="italic", soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    table.add_column("learned from")
    for column in ("mean", "from", "to"):
        table.add_column(column, justify="right")
    for name, row in found.rows.items():
        shares = (row.accuracy.mean(), row.accuracy.min(), row.accuracy.max())
        table.add_row(name, *(_percent(float(share)) for share in shares))
    console.print(table)


def _print_labels(console: Console, result: Evaluated) -> None:
    from rich.table import Table

    rows = result.scores.labels
    table = Table(title="labels", title_justify="left", box=None, pad_edge=False)
    table.add_column("model")
    for title in ("accuracy", "mean of classes", "ECE", "Brier", "log loss", "seconds"):
        table.add_column(title, justify="right")
    for row in sorted(rows, key=lambda row: -(row.accuracy or 0)):
        table.add_row(
            row.name,
            _percent(row.accuracy),
            _percent(row.macro_accuracy),
            _number(row.ece, ".3f"),
            _number(row.brier, ".3f"),
            _number(row.nll, ".3f"),
            _number(row.seconds, ".2f"),
        )
    console.print(table)
    if rows[0].n:
        console.print(f"on {rows[0].n:,} images of known class, seeds left out")
    else:
        console.print("no true class is known: give some with --labels FILE")


def _print_generated(console: Console, result: Evaluated) -> None:
    from rich.table import Table

    from lfkit.metrics.score_table import score_blocks

    for name, found in result.scores.generated.items():
        table = Table(title=f"\n{name}", title_justify="left", box=None, pad_edge=False)
        table.add_column("score")
        table.add_column("", justify="right")
        table.add_column("better")
        table.add_column("protocol", style="dim", overflow="fold")
        for block in score_blocks({name: found.scores}):
            for row in block.shown:
                table.add_row(*_cells(row.cells[name]))
            if block.folded:
                table.add_row("", "…", "", f"{block.note}; all are in scores.json")
        console.print(table)
        for metric, why in result.missing.get(name, {}).items():
            console.print(f"{metric}: left out, {why}", style="yellow")


def _cells(score: Score) -> tuple[str, str, str, str]:
    value = _number(None if math.isnan(score.value) else score.value, ".4g")
    if score.error is not None:
        value += f" ± {score.error:.2g}"
    note = f"; {score.note}" if score.note else ""
    return score.title, value, score.better, f"{score.protocol}{note}"


def _print_human(console: Console, result: Evaluated) -> None:
    from rich.table import Table

    if not result.scores.human:
        return
    table = Table(title="\npeople", title_justify="left", box=None, pad_edge=False)
    for title in ("source", "ratings", "image quality", "label fits"):
        table.add_column(title)
    for row in result.scores.human:
        table.add_row(
            row.source,
            str(row.n),
            str(row.image_quality),
            str(row.label_match),
        )
    console.print(table)


def _percent(share: float | None) -> str:
    return "—" if share is None else f"{100 * share:.1f} %"


def _number(value: float | None, form: str) -> str:
    return "—" if value is None else format(value, form)
