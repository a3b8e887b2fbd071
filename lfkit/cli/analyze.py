"""`lfkit analyze` and `lfkit diagnose`: the functions, and what limits the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lfkit.cli.console import echo
from lfkit.errors import InputError

if TYPE_CHECKING:
    from lfkit.runs.run import Run
    from lfkit.runs.run_summary import RunSummary

_MOST_CONFUSIONS = 8

RunFolder = Annotated[Path, typer.Argument(help="A run folder of `lfkit apply`.")]
LabelsFile = Annotated[
    Path | None,
    typer.Option(
        "--labels", help="True labels: a CSV with image_id and label.", metavar="FILE"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
LFs = Annotated[
    list[str] | None,
    typer.Option(
        "--lfs",
        metavar="SPEC",
        help="The run's functions, given anew, if they are not yours. May be repeated.",
    ),
]
TrustCode = Annotated[
    bool,
    typer.Option(
        "--trust-code", help="Run the code that the run names, whoever wrote it."
    ),
]


def analyze(
    run: RunFolder,
    labels: LabelsFile = None,
    sheet: Annotated[
        bool,
        typer.Option(
            "--sheet", help="Draw images that each function voted for: lf_sheet.png."
        ),
    ] = False,
    bootstrap: Annotated[
        int, typer.Option(help="Give intervals from so many redraws of the images.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Show the labeling functions' coverage, conflicts and accuracy, and the errors."""
    from lfkit.cli.console import Console
    from lfkit.cli.summary_panel import bullets, function_table
    from lfkit.metrics.labels.summarize import summary_of
    from lfkit.runs.json_text import to_json
    from lfkit.runs.run import load_run

    if bootstrap < 0:
        raise InputError(f"--bootstrap is {bootstrap}; give a number of draws, or 0.")

    loaded = load_run(run, labels)
    summary = replace(summary_of(loaded), notes=loaded.notes)
    confusions = _confusions(loaded)
    intervals = _intervals(loaded, bootstrap) if bootstrap else {}
    if sheet:
        path = _draw_sheet(loaded, quiet=as_json)
    if as_json:
        more = {"confusions": confusions, "intervals": intervals}
        drawn = {"sheet": str(path)} if sheet else {}
        echo(to_json(summary.to_dict() | more | drawn))
        return
    console = Console()
    console.print(function_table(summary.functions, loaded.config.class_names))
    if confusions:
        console.print("\nmost frequent errors", style="bold")
        for row in confusions:
            console.print(
                f"  {row['images']:>7,}  {row['true']} labeled as {row['labeled']}"
            )
    for name, (low, high) in intervals.items():
        console.print(f"\n{name}: 95 % between {low:.3f} and {high:.3f}", end="")
    console.print()
    console.print(bullets([*summary.findings, *_sentences(loaded.notes)]))
    if sheet:
        console.print(f"\n{path}: what each function voted for", soft_wrap=True)


def diagnose(run: RunFolder, labels: LabelsFile = None, as_json: Json = False) -> None:
    """Say what limits the labels: gaps, copies, how far votes can go, the baselines."""
    from lfkit.cli.console import Console
    from lfkit.cli.summary_panel import bullets
    from lfkit.metrics.labels.summarize import summary_of
    from lfkit.runs.json_text import to_json
    from lfkit.runs.run import load_run

    loaded = load_run(run, labels)
    summary = summary_of(loaded)
    baselines, baseline = loaded.stored.baselines, loaded.stored.best_baseline
    result = {
        **summary.diagnosis,
        "baselines": [asdict(one) for one in baselines],
        "best_baseline": None if baseline is None else baseline.name,
        "accuracy": None if summary.accuracy is None else asdict(summary.accuracy),
        "seed_accuracy": summary.seed_accuracy,
        "judged": None if summary.judged is None else asdict(summary.judged),
        "notes": list(loaded.notes),
    }
    if as_json:
        echo(to_json(result))
        return
    console = Console()
    sentences = [
        *summary.findings,
        *_about_labels(summary),
        *_sentences(loaded.notes),
    ]
    for one in baselines:
        scored = one.accuracy
        value = one.seed_cv_accuracy if scored is None else scored
        if value is None:
            continue
        where = "cross-validated on the seeds" if scored is None else "on other images"
        best = "; the best on held-out seeds" if one is baseline else ""
        sentences.append(
            f"Baseline: {one.name}, trained on the seeds alone, is right "
            f"{value:.1%} of the time ({where}{best})."
        )
    console.print(bullets(sentences))


def _sentences(notes: Sequence[str]) -> list[str]:
    return [f"Note: {note}." for note in notes]


def _about_labels(summary: RunSummary) -> list[str]:
    """Say how right the labels are that were written."""
    if summary.accuracy is not None:
        share = summary.accuracy.of_all
        return [f"The labels are right on {share:.1%} of the images of known class."]
    if summary.seed_accuracy is None:
        return []
    judged = summary.judged
    assert judged is not None, "it has an accuracy on the seeds"
    return [
        f"The labels, after {judged.after}, are right on "
        f"{summary.seed_accuracy:.1%} of {judged.seeds} held-out seeds."
    ]


def _intervals(loaded: Run, n_draws: int) -> dict[str, tuple[float, float]]:
    import numpy as np

    from lfkit.aggregators.calibration import bootstrap_intervals

    rows = np.flatnonzero((loaded.scored >= 0) & (loaded.labels.labels >= 0))
    if not len(rows):
        raise InputError(
            "--bootstrap needs images of known class; give them with --labels FILE."
        )
    proba, truth = loaded.labels.proba[rows], loaded.truth[rows]
    return bootstrap_intervals(proba, truth, n_draws)


def _draw_sheet(loaded: Run, *, quiet: bool) -> Path:
    from lfkit.cli.progress import Bars
    from lfkit.report.lf_sheet import lf_sheet

    config, path = loaded.config, loaded.folder / "lf_sheet.png"
    with Bars(quiet=quiet) as bars:
        source = loaded.open_images(
            lambda done, total: bars("reading the files", done, total)
        )
        lf_sheet(
            source,
            loaded.votes,
            path,
            class_names=config.class_names,
            title=f"{loaded.folder} on the {len(source):,} images of {source.name}",
            docs=[lf.doc for lf in config.lfs],
            kinds=[lf.kind for lf in config.lfs],
            truth=loaded.truth,
            exclude=loaded.given,
            progress=lambda done, total: bars("drawing", done, total),
        )
    return path


def _confusions(loaded: Run) -> list[dict[str, Any]]:
    from lfkit.labeling.analysis import error_buckets

    buckets = error_buckets(loaded.scored, loaded.labels.labels)
    wrong = [
        (len(rows), real, said)
        for (real, said), rows in buckets.items()
        if real >= 0 and said != real
    ]
    names = [*loaded.config.class_names, "no label"]  # -1 reads the last
    return [
        {"true": names[real], "labeled": names[said], "images": count}
        for count, real, said in sorted(wrong, reverse=True)[:_MOST_CONFUSIONS]
    ]
