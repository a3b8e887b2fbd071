"""`lfkit report`: a run as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lfkit.cli.analyze import LabelsFile, RunFolder
from lfkit.cli.console import echo


def report(
    run: RunFolder,
    labels: LabelsFile = None,
    generated: Annotated[
        list[Path] | None,
        typer.Option(
            help="Generated images beside those of the run: .npz with images and "
            "proba. May be repeated.",
            metavar="FILE",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Default: RUN/report.html.", metavar="FILE")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON.")
    ] = False,
) -> None:
    """Draw everything that is known of a run on one page, to look at."""
    from lfkit.cli.progress import Bars
    from lfkit.metrics.generated_images import all_sets
    from lfkit.metrics.labels.label_model_scores import as_dicts, score_label_models
    from lfkit.report.image_tiles import Album
    from lfkit.report.page import write_report
    from lfkit.report.sections import ReportData
    from lfkit.runs.json_text import to_json
    from lfkit.runs.run import load_run
    from lfkit.runs.scores_file import load_scores, save_scores

    loaded = load_run(run, labels)
    k = len(loaded.config.class_names)
    sets = all_sets(run, k, generated or [])
    path = out or run / "report.html"
    with Bars(quiet=as_json) as bars:
        source = loaded.open_images(
            lambda done, total: bars("reading the files", done, total)
        )
        scores = load_scores(run)
        if "labels" not in scores or labels is not None:
            rows = as_dicts(score_label_models(loaded, bars))
            scores["labels"] = {"rows": rows}
            if labels is None:
                save_scores(run, {"labels": scores["labels"]})
        material = ReportData(loaded, Album(source), sets, scores)
        sections = write_report(material, path, bars)
    if as_json:
        found = {"report": str(path), "sections": sections, "notes": [*loaded.notes]}
        echo(to_json(found))
        return
    for note in loaded.notes:
        echo(f"Note: {note}.")
    size = path.stat().st_size / 1e6
    echo(f"{path}: {len(sections)} sections, {size:.1f} MB; open it in a browser")
