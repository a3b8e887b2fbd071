"""What a person reads at the end of a run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from rich.console import Group
from rich.panel import Panel
from rich.table import Table

from lfkit.cli.console import Console, Text
from lfkit.features.user_code.calling import shortened
from lfkit.metrics.labels.summarize import verdict
from lfkit.runs.apply_options import BASELINE
from lfkit.runs.run_summary import LFSummary, RefinementSummary, RunSummary

_EXTREMES = 3
_MOST_FAULTS = 8
_MOST_UNREADABLE = 5
_LONG_SECONDS, _LONG_SHARE = 2.0, 0.05  # of work, to be named
_LONGEST_MESSAGE = 200
_WIDEST = 1000  # columns of a table in a file


def show_summary(summary: RunSummary) -> None:
    """Print the final panel of `lfkit apply`."""
    # No markup: names and paths may hold square brackets.
    console = Console()
    parts: list[Any] = [_figures(summary)]
    verdict = _verdict(summary)
    if verdict is not None:
        parts += ["", verdict]
    if summary.reason:
        why = f"{summary.chosen} since {summary.reason}."
        if summary.class_shares:
            why += f" Class shares: {summary.class_shares}."
        parts += ["", Text(why, "dim")]
    if summary.unlike_plain_vote:
        parts += [] if summary.reason else [""]
        parts.append(Text(f"{summary.unlike_plain_vote}."))
    if summary.crossover:
        parts += ["", Text(summary.crossover.sentence)]
    if summary.refinement:
        parts += ["", *refinement_table(summary.refinement, summary.class_names)]
    extremes = _extremes(summary)
    if extremes is not None:
        parts += ["", extremes]
    trouble = _trouble(summary)
    if trouble:
        parts += ["", *trouble]
    parts += ["", _next_steps(summary)]
    took = _duration(summary.seconds)
    title = Text.assemble((summary.data, "bold"), f" labeled in {took}")
    console.print(
        Panel(Group(*parts), title=title, border_style="green", padding=(1, 2))
    )


def show_functions(functions: Sequence[LFSummary], names: Sequence[str]) -> None:
    """Print one row per labeling function; names are whole where nobody watches."""
    table = _function_table(functions, names)
    console = Console()
    if not console.is_terminal:
        wide = console.options.update(max_width=_WIDEST)
        console.width = max(console.width, console.measure(table, options=wide).maximum)
    console.print(table)


def _function_table(functions: Sequence[LFSummary], names: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    # Only the names may be cut in two, so that no number is ever cut.
    table.add_column("labeling function", overflow="fold", min_width=9)
    table.add_column("votes for", no_wrap=True)
    for title in ("coverage", "conflicts", "accuracy", "on seeds"):
        table.add_column(title, justify="right", no_wrap=True)
    for lf in functions:
        voted = [names[label] for label in lf.classes]
        classes = "all" if len(voted) == len(names) > 3 else ", ".join(voted)
        table.add_row(
            lf.name,
            classes if len(classes) <= 14 else f"{len(voted)} classes",
            _percent(lf.coverage),
            _percent(lf.conflicts),
            _percent(lf.accuracy),
            _percent(lf.seed_accuracy),
        )
    return table


def refinement_table(report: RefinementSummary, names: Sequence[str]) -> list[Any]:
    """Lay out one row per stage of refinement, and the class shares found."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("refining", no_wrap=True)
    for title in ("on seeds", "accuracy", "unchanged", "time"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("", style="dim", overflow="fold")
    for stage in report.stages:
        table.add_row(
            stage.name,
            _percent(stage.held_out),
            _percent(stage.accuracy),
            _percent(stage.agreement),
            _duration(stage.seconds),
            stage.note,
        )
    shares = ", ".join(
        f"{name} = {100 * share:.0f} %"
        for name, share in zip(names, report.class_prior, strict=True)
    )
    how = report.class_prior_how.replace(":", ",").replace("%", " %")
    said = f"class shares: {shares} ({how})"
    lines = [table, Text(said, style="dim")]
    return lines if report.is_refined else [*lines, Text(report.note, "yellow")]


def show_bullets(sentences: Sequence[str]) -> None:
    """List sentences, each as a paragraph of its own; as a line in a file."""
    console = Console()
    if not console.is_terminal:
        for sentence in sentences:
            console.print(f"• {sentence}", soft_wrap=True)
        return
    table = Table.grid(padding=(0, 1))
    table.add_column()
    table.add_column(overflow="fold")
    for sentence in sentences:
        table.add_row("•", sentence)
    console.print(table)


def _figures(summary: RunSummary) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(style="dim")
    n = summary.images
    labeled = f"{summary.labeled:,} of {n:,}"
    by = summary.chosen
    if summary.aggregator != by:
        by = f"{summary.aggregator}: {by}"
    if summary.refined_stages:
        by += ", refined by the images"
    table.add_row("images labeled", labeled, f"by {by}")
    m = len(summary.functions)
    table.add_row(
        "coverage",
        _percent(summary.coverage),
        f"with a vote of any of {_count(m, 'function')}",
    )
    accuracy = summary.accuracy
    if accuracy is not None:
        remark = f"of {accuracy.n:,} images with a known class"
        if summary.seeds:
            remark += f", the {summary.seeds} seeds not counted"
        table.add_row("accuracy", _percent(accuracy.of_all), remark)
        if summary.labeled < n:
            share = _percent(accuracy.of_labeled)
            table.add_row("", share, "accuracy when labeled")
        if summary.chosen != "majority-vote":
            assert summary.majority_vote_accuracy is not None, "of the same images"
            plain = summary.majority_vote_accuracy.of_all
            table.add_row(
                "majority vote", _percent(plain), "every function counts the same"
            )
    if summary.seed_accuracy is not None:
        share = _percent(summary.seed_accuracy)
        table.add_row("on the seeds", share, _how_judged(summary))
    _add_votes(table, summary)
    kept = summary.kept
    if kept is not None:
        table.add_row(
            f"{100 * kept.target_precision:g} % precise",
            f"{kept.kept:,} of {kept.of:,}",
            "labels are kept, the others taken back",
        )
    _add_confidence(table, summary)
    _add_baseline(table, summary)
    _add_time(table, summary)
    return table


def _add_time(table: Table, summary: RunSummary) -> None:
    """Show where the time went, if it was long."""
    long = {
        what: seconds
        for what, seconds in summary.seconds_of.items()
        if seconds >= max(_LONG_SECONDS, _LONG_SHARE * summary.seconds)
    }
    if long:
        order = sorted(long, key=lambda what: -long[what])
        parts = ", ".join(f"{what} {_duration(long[what])}" for what in order)
        table.add_row("time", _duration(summary.seconds), parts)


def _how_judged(summary: RunSummary) -> str:
    """Say what the labels' accuracy on the seeds is of."""
    judged = summary.judged
    assert judged is not None, "it has an accuracy on the seeds"
    remark = summary.on_seeds
    if summary.kept:
        remark += ", before labels were taken back"
    refined, refinement = summary.refined_stages, summary.refinement
    if not refined or refinement is None:
        if summary.chosen == BASELINE:
            remark += "; the classifier is chosen anew without each"
        return remark
    later = [s.name for s in refined[1:] if s.held_out is None]
    if later:
        return f"{remark}: before {', '.join(later)}, which learn from all"
    if any("reverted" in stage.note for stage in refinement.stages):
        remark += "; they chose the stages, too"
    return remark


def _add_votes(table: Table, summary: RunSummary) -> None:
    """Show how right the votes were, where the labels are refined ones."""
    refined = summary.refined_stages
    if not refined:
        return
    share, where = refined[0].accuracy, ""
    if share is None:
        share, where = refined[0].held_out, ", on the seeds"
    if share is not None:
        by = f"by {summary.chosen}{where}"
        table.add_row("before refining", _percent(share), by)


def _add_confidence(table: Table, summary: RunSummary) -> None:
    calibration, judged = summary.calibration, summary.judged
    if judged is None or not judged.is_calibrated:
        if summary.seeds or summary.refined_stages:
            why = "no held-out seed tells how far to believe it"
            if judged is not None:
                why = f"seeds can judge it up to {judged.after}, not what followed"
                if few := judged.too_few:
                    why = f"{few} do not tell how far to believe it"
            table.add_row("confidence", "", f"not calibrated: {why}")
        return
    found = calibration.on_images or calibration.on_seeds
    assert found is not None, "it is calibrated on seeds"
    errors = f"(ECE {found.ece:.3f}, Brier {found.brier:.3f})"
    if calibration.on_images is not None:
        share = found.confidence
        remark = f"on average, where {_percent(found.accuracy)} are right {errors}"
    else:
        share = summary.confidence or found.confidence
        sure = _percent(found.confidence)
        remark = f"the labels' on average; {sure} on held-out seeds {errors}"
    table.add_row("confidence", _percent(share), remark)


def _add_baseline(table: Table, summary: RunSummary) -> None:
    """Show the baseline, by the images that labels are scored on, or by the seeds."""
    baseline = summary.best_baseline
    if baseline is None:
        return
    remark = f"{baseline.name}, trained on the seeds alone"
    if len(summary.baselines) > 1 and baseline.seed_cv_accuracy is not None:
        remark += f"; of {len(summary.baselines)} the best on held-out seeds"
        remark += f" ({_percent(baseline.seed_cv_accuracy)}, which the choice flatters)"
    if baseline.accuracy is None:
        table.add_row("baseline", _percent(baseline.seed_cv_accuracy), remark)
    else:
        table.add_row("baseline", _percent(baseline.accuracy), remark)


def _verdict(summary: RunSummary) -> Text | None:
    found = verdict(summary)
    if found is None:
        return None
    return Text(found.sentence, style="green" if found.wins else "yellow")


def _extremes(summary: RunSummary) -> Table | None:
    """List the strongest and the weakest functions."""
    if summary.accuracy is None:
        key, of = "seed_accuracy", "on the seeds; "
    else:
        key, of = "accuracy", "of "
    known = [lf for lf in summary.functions if getattr(lf, key) is not None]
    if not known:
        return None
    known.sort(key=lambda lf: -getattr(lf, key))
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim", no_wrap=True)
    n = min(_EXTREMES, (len(known) + 1) // 2)
    rows = [("strongest", lf) for lf in known[:n]]
    rows += [("weakest", lf) for lf in known[n:][-_EXTREMES:]]
    last = ""
    for title, lf in rows:
        votes = of + _count(round(lf.coverage * summary.images), "vote")
        table.add_row(
            "" if title == last else title, lf.name, _percent(getattr(lf, key)), votes
        )
        last = title
    return table


def _trouble(summary: RunSummary) -> list[Text]:
    lines = []
    for note in summary.notes:
        lines.append(Text(f"Note: {note}.", style="yellow"))
    if summary.unreadable:
        shown = list(summary.problems.items())[:_MOST_UNREADABLE]
        colon = ":" if shown else "."
        said = f"{_count(summary.unreadable, 'file')} could not be read{colon}"
        lines.append(Text(said, "yellow"))
        lines += [Text(f"  {name}: {reason}.", "yellow") for name, reason in shown]
        more = summary.unreadable - len(shown)
        if shown and more > 0:
            lines.append(Text(f"  … and {_count(more, 'more file')}.", "yellow"))
    for name, reason in list(summary.left_out.items())[:_EXTREMES]:
        lines.append(
            Text(f"{name} was left out: {reason.rstrip('.')}.", style="yellow")
        )
    more = len(summary.left_out) - _EXTREMES
    if more > 0:
        lines.append(Text(f"… and {more} more functions were left out.", "yellow"))
    faults = list(summary.faults.items())
    for name, found in faults[:_MOST_FAULTS]:
        kinds = ", ".join(f"{kind} {count:,}x" for kind, count in found.kinds.items())
        total = _count(found.total, "image")
        message = shortened(found.message, _LONGEST_MESSAGE)
        said = f"{name} failed on {total}: {kinds} ({message})."
        lines.append(Text(said, "yellow"))
    if len(faults) > _MOST_FAULTS:
        rest = _count(len(faults) - _MOST_FAULTS, "more function")
        lines.append(Text(f"… and {rest} failed on some images.", "yellow"))
    if faults and not summary.coverage:
        lines.append(Text("Not one function gave a vote.", "bold red"))
    if summary.faults or summary.left_out or summary.unreadable:
        lines.append(Text(f"Details: {summary.out}/faults.json", style="dim"))
    for pair in summary.diagnosis["copies"][:_EXTREMES]:
        lines.append(
            Text(
                f"{pair['first']} and {pair['second']} agree on "
                f"{_percent(pair['agreement'])} of their votes: one would do.",
                style="yellow",
            )
        )
    names = summary.class_names
    unnamed = [names[label] for label in summary.diagnosis["unnamed_classes"]]
    if unnamed:
        lines.append(
            Text(
                f"No function can name {', '.join(unnamed)}: those images get other "
                "labels, or none.",
                style="yellow",
            )
        )
    return lines


def _next_steps(summary: RunSummary) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for position, path in enumerate(summary.files):
        table.add_row("files" if position == 0 else "", path)
    out = shlex.quote(summary.out)
    table.add_row("next", Text(f"lfkit analyze {out}", style="cyan"))
    return table


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def _percent(share: float | None) -> str:
    return "—" if share is None or share != share else f"{100 * share:.1f} %"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"
