"""`lfkit evaluate`: how good labels and generated images are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lfkit.cli.analyze import LabelsFile, RunFolder
from lfkit.cli.console import echo
from lfkit.errors import InputError

if TYPE_CHECKING:
    from lfkit.cli.console import Console


def evaluate(
    run: RunFolder,
    generated: Annotated[
        list[Path] | None,
        typer.Option(
            help="Generated images beside those of the run: .npz with images and "
            "proba. May be repeated.",
            metavar="FILE",
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="Real images that nothing was trained on, such as fashion-mnist:test.",
            metavar="DATA",
        ),
    ] = None,
    extractor: Annotated[
        str, typer.Option(help="domain, efficientnet-lite0 or inception.")
    ] = "domain",
    weights: Annotated[
        Path | None, typer.Option(help="Weights of inception.", metavar="FILE")
    ] = None,
    metrics: Annotated[
        str | None, typer.Option(help="Only these (lfkit list metrics).", metavar="A,…")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also metrics that train classifiers.")
    ] = False,
    human: Annotated[
        list[Path] | None,
        typer.Option(help="Ratings from the report's Turing test.", metavar="FILE"),
    ] = None,
    judge_steps: Annotated[
        int | None,
        typer.Option(
            help="Steps of the domain classifier's training, which is for scoring only."
        ),
    ] = None,
    labels: LabelsFile = None,
    seed: Annotated[int, typer.Option(help="Of every draw.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON.")
    ] = False,
) -> None:
    """Score labels and label models, generated images, and what people said of them."""
    from dataclasses import asdict

    from lfkit.cli.console import Console
    from lfkit.cli.progress import Bars
    from lfkit.metrics.evaluation import Evaluation, chosen_metrics, needs_judge
    from lfkit.metrics.generated_images import all_sets
    from lfkit.metrics.labels.label_model_scores import as_dicts, score_label_models
    from lfkit.metrics.turing_test import read_ratings, summarize_ratings
    from lfkit.runs.cache_keys import fingerprint
    from lfkit.runs.json_text import to_json
    from lfkit.runs.run import load_run
    from lfkit.runs.scores_file import load_scores, save_scores

    if judge_steps is not None and judge_steps < 1:
        raise InputError(f"--judge-steps is {judge_steps}; give a number above 0.")
    names = chosen_metrics(metrics, slow=everything)
    loaded = load_run(run, labels)
    k = len(loaded.config.class_names)
    sets = all_sets(run, k, generated or [])
    rated = [rating for path in human or [] for rating in read_ratings(path)]
    parts: dict[str, Any] = {}
    missing: dict[str, dict[str, str]] = {}
    broken: dict[str, str] = {}
    notes = loaded.notes
    with Bars(quiet=as_json) as bars:
        if labels is not None or "labels" not in load_scores(run):
            parts["labels"] = {"rows": as_dicts(score_label_models(loaded, bars))}
        if rated:
            parts["human"] = [asdict(row) for row in summarize_ratings(rated)]
        # Other true labels than the data's own are for this call only.
        kept = {key: parts[key] for key in parts if key != "labels" or labels is None}
        path = save_scores(run, kept)
        if sets:
            source = loaded.open_images(
                lambda done, total: bars("reading the files", done, total)
            )
            evaluation = Evaluation(
                loaded,
                source,
                against=against,
                extractor=extractor,
                weights=weights,
                n_steps=judge_steps,
                random_state=seed,
                needs_judge=any(needs_judge(name) for name in names),
                progress=bars,
            )
            notes += evaluation.notes
            for one in sets:
                evaluation.check(one)
                if why := evaluation.why_broken(one):
                    broken[one.name] = why
            for one in sets:
                scores, missing[one.name] = evaluation.score(one, names)
                found = {
                    "of": fingerprint((one.images.source.keys, one.images.proba)),
                    "scores": [
                        score.to_dict() | {"protocol_text": str(score.protocol)}
                        for score in scores
                    ],
                }
                # At once: what took minutes is not lost with the next set.
                save_scores(run, {"generated": {one.name: found}})
    result = load_scores(run) | {"missing": missing, "file": str(path)}
    result |= {"broken": broken, "notes": list(notes)}
    result["labels"] = parts.get("labels", result.get("labels"))
    if as_json:
        echo(to_json(result))
        return
    console = Console()
    _print_labels(console, result)
    _print_generated(console, result)
    _print_human(console, result)
    for note in notes:
        console.print(f"\nNote: {note}.", style="yellow", soft_wrap=True)
    for why in broken.values():
        console.print(f"\nWARNING: {why}", style="bold red", soft_wrap=True)
    console.print(f"\n{path}; next: lfkit report {run}", soft_wrap=True)


def _print_labels(console: Console, result: dict[str, Any]) -> None:
    from rich.table import Table

    rows = result["labels"]["rows"]
    table = Table(title="labels", title_justify="left", box=None, pad_edge=False)
    table.add_column("model")
    for title in ("right", "mean of classes", "ECE", "Brier", "log loss", "seconds"):
        table.add_column(title, justify="right")
    for row in sorted(rows, key=lambda row: -(row["accuracy"] or 0)):
        table.add_row(
            row["name"],
            _percent(row["accuracy"]),
            _percent(row["macro_accuracy"]),
            _number(row["ece"], ".3f"),
            _number(row["brier"], ".3f"),
            _number(row["nll"], ".3f"),
            _number(row["seconds"], ".2f"),
        )
    console.print(table)
    if rows[0]["n"]:
        console.print(f"on {rows[0]['n']:,} images of known class, seeds left out")
    else:
        console.print("no true class is known: give some with --labels FILE")


def _print_generated(console: Console, result: dict[str, Any]) -> None:
    from rich.table import Table

    from lfkit.metrics.score_table import score_blocks

    for name, found in result.get("generated", {}).items():
        table = Table(title=f"\n{name}", title_justify="left", box=None, pad_edge=False)
        table.add_column("score")
        table.add_column("", justify="right")
        table.add_column("better")
        table.add_column("protocol", style="dim", overflow="fold")
        for block in score_blocks({name: found["scores"]}):
            for row in block.shown:
                table.add_row(*_cells(row.cells[name]))
            if block.folded:
                table.add_row("", "…", "", f"{block.note}; all are in scores.json")
        console.print(table)
        for metric, why in result["missing"].get(name, {}).items():
            console.print(f"{metric}: left out, {why}", style="yellow")


def _cells(score: Mapping[str, Any]) -> tuple[str, str, str, str]:
    value = _number(score["value"], ".4g")
    if score["error"] is not None:
        value += f" ± {score['error']:.2g}"
    note = f"; {score['note']}" if score["note"] else ""
    return score["title"], value, score["better"], score["protocol_text"] + note


def _print_human(console: Console, result: dict[str, Any]) -> None:
    from rich.table import Table

    if not result.get("human"):
        return
    table = Table(title="\npeople", title_justify="left", box=None, pad_edge=False)
    for title in ("source", "ratings", "image quality", "label fits"):
        table.add_column(title)
    for row in result["human"]:
        table.add_row(
            row["source"],
            str(row["n"]),
            _interval(row["image_quality"]),
            _interval(row["label_match"]),
        )
    console.print(table)


def _interval(found: dict[str, float]) -> str:
    return f"{found['mean']:.2f} ({found['low']:.2f} to {found['high']:.2f})"


def _percent(share: float | None) -> str:
    return "—" if share is None else f"{100 * share:.1f} %"


def _number(value: float | None, form: str) -> str:
    return "—" if value is None else format(value, form)
