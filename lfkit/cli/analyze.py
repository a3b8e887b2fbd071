"""`lfkit analyze` and `lfkit diagnose`: the functions, and what limits the labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lfkit.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from lfkit.cli.progress import Bars
    from lfkit.images import ImageSource
    from lfkit.labels import Labels
    from lfkit.run import RunConfig
    from lfkit.votes import Votes

_MOST_CONFUSIONS = 8

Run = Annotated[Path, typer.Argument(help="A run folder of `lfkit apply`.")]
LabelsFile = Annotated[
    Path | None,
    typer.Option(
        "--labels", help="True labels: a CSV with image_id and label.", metavar="FILE"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def analyze(
    run: Run,
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
    from rich.console import Console

    from lfkit.cli.panel import bullets, function_table
    from lfkit.json_text import to_json
    from lfkit.run import load_labels

    if bootstrap < 0:
        raise InputError(f"--bootstrap is {bootstrap}; give a number of draws, or 0.")

    config, votes, truth, given = _load(run, labels)
    found = load_labels(run, config)
    summary = _summary(run, config, votes, found, truth, given)
    summary["confusions"] = _confusions(config, found, truth, given)
    if bootstrap:
        summary["intervals"] = _intervals(found, truth, given, bootstrap)
    if sheet:
        path = _draw_sheet(run, config, votes, truth, given, quiet=as_json)
        summary["sheet"] = str(path)
    if as_json:
        typer.echo(to_json(summary))
        return
    console = Console(highlight=False, markup=False, emoji=False)
    console.print(function_table(summary["functions"], config.class_names))
    if summary["confusions"]:
        console.print("\nmost frequent errors", style="bold")
        for row in summary["confusions"]:
            console.print(
                f"  {row['images']:>7,}  {row['true']} labeled as {row['labeled']}"
            )
    for name, (low, high) in summary.get("intervals", {}).items():
        console.print(f"\n{name}: 95 % between {low:.3f} and {high:.3f}", end="")
    console.print()
    console.print(bullets(summary["findings"]))
    if sheet:
        console.print(f"\n{path}: what each function voted for", soft_wrap=True)


def diagnose(run: Run, labels: LabelsFile = None, as_json: Json = False) -> None:
    """Say what limits the labels: gaps, copies, how far votes can go, the floors."""
    from rich.console import Console

    from lfkit.cli.panel import bullets
    from lfkit.json_text import to_json
    from lfkit.run import load_labels

    config, votes, truth, given = _load(run, labels)
    found = load_labels(run, config)
    summary = _summary(run, config, votes, found, truth, given)
    floors = _stored(run).get("floors", [])
    result = {**summary["diagnosis"], "floors": floors, "accuracy": summary["accuracy"]}
    if as_json:
        typer.echo(to_json(result))
        return
    console = Console(highlight=False, markup=False, emoji=False)
    sentences = list(summary["findings"])
    for floor in floors:
        scored = floor["accuracy"]
        value = floor["seed_cv_accuracy"] if scored is None else scored
        if value is None:
            continue
        where = "cross-validated on the seeds" if scored is None else "on other images"
        sentences.append(
            f"Floor: {floor['name']}, trained on the seeds alone, is right "
            f"{value:.1%} of the time ({where})."
        )
    console.print(bullets(sentences))


def _load(
    run: Path, labels: Path | None
) -> tuple[RunConfig, Votes, NDArray[np.int64], NDArray[np.bool_]]:
    import numpy as np

    from lfkit.run import load_config, load_images, load_votes, not_scored
    from lfkit.seeds import read_labels

    config = load_config(run)
    votes = load_votes(run, config)
    index = load_images(run)
    assert index is not None, "load_votes has read it"
    truth = index.column("true_class").to_numpy().astype(np.int64)
    if labels is not None:
        given = read_labels(
            labels, index.column("image_id").to_pylist(), config.class_names
        )
        truth = np.full(len(truth), -1, np.int64)
        truth[given.rows] = given.labels
    return config, votes, truth, not_scored(index, votes)


def _stored(run: Path) -> dict[str, Any]:
    path = run / "summary.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _summary(
    run: Path,
    config: RunConfig,
    votes: Votes,
    labels: Labels,
    truth: NDArray[np.int64],
    given: NDArray[np.bool_],
) -> dict[str, Any]:
    from lfkit.summary import summarize

    everything = tuple(range(len(config.class_names)))
    stored = _stored(run)
    floors = {
        floor["name"]: floor["accuracy"]
        for floor in stored.get("floors", [])
        if floor["accuracy"] is not None
    }
    found = summarize(
        votes,
        labels,
        truth,
        given,
        class_names=config.class_names,
        aggregator=config.aggregator,
        class_balance=config.class_balance,
        lf_classes=[lf.classes or everything for lf in config.lfs] or None,
        lf_kinds=[lf.kind for lf in config.lfs] or None,
        floors=floors,
    )
    # What needs the posteriors on the seeds, which are not kept.
    known = ("chosen", "reason", "seed_accuracy", "calibration")
    return found | {key: stored[key] for key in known if key in stored}


def _intervals(
    labels: Labels, truth: NDArray[np.int64], given: NDArray[np.bool_], n_draws: int
) -> dict[str, tuple[float, float]]:
    import numpy as np

    from lfkit.calibration import bootstrap_intervals

    rows = np.flatnonzero((truth >= 0) & ~given & (labels.labels >= 0))
    if not len(rows):
        raise InputError(
            "--bootstrap needs images of known class; give them with --labels FILE."
        )
    return bootstrap_intervals(labels.proba[rows], truth[rows], n_draws)


def _draw_sheet(
    run: Path,
    config: RunConfig,
    votes: Votes,
    truth: NDArray[np.int64],
    given: NDArray[np.bool_],
    *,
    quiet: bool,
) -> Path:
    from lfkit.cli.progress import Bars
    from lfkit.report.lf_sheet import lf_sheet
    from lfkit.run import load_images

    path = run / "lf_sheet.png"
    with Bars(quiet=quiet) as bars:
        source = _images_of(run, config, load_images(run), bars)
        lf_sheet(
            source,
            votes,
            path,
            class_names=config.class_names,
            title=f"{run} on the {len(source):,} images of {config.data}",
            docs=[lf.doc for lf in config.lfs],
            kinds=[lf.kind for lf in config.lfs],
            truth=truth,
            exclude=given,
            progress=lambda done, total: bars("drawing", done, total),
        )
    return path


def _images_of(
    run: Path, config: RunConfig, index: pa.Table, progress: Bars
) -> ImageSource:
    """Open the images that a run has labeled, if they are still the same."""
    import numpy as np

    from lfkit.datasets import open_images
    from lfkit.errors import DataError, RunError
    from lfkit.run import image_keys

    try:
        source = open_images(
            config.data,
            size=config.size,
            color=config.color,
            known=index,
            progress=lambda done, total: progress("reading the files", done, total),
        )
    except DataError as error:
        raise RunError(
            f"the images of {run} cannot be opened: {error} Is this the folder in "
            "which `lfkit apply` was called?"
        ) from error
    if not np.array_equal(source.keys, image_keys(index)):
        raise RunError(
            f"the images of {config.data} are no longer those that {run} has labeled; "
            "run `lfkit apply` again: what is already computed is kept."
        )
    return source


def _confusions(
    config: RunConfig,
    found: Labels,
    truth: NDArray[np.int64],
    given: NDArray[np.bool_],
) -> list[dict[str, Any]]:
    import numpy as np

    from lfkit.analysis import error_buckets

    buckets = error_buckets(np.where(given, -1, truth), found.labels)
    wrong = [
        (len(rows), real, said)
        for (real, said), rows in buckets.items()
        if real >= 0 and said != real
    ]
    names = [*config.class_names, "no label"]  # -1 reads the last
    return [
        {"true": names[real], "labeled": names[said], "images": count}
        for count, real, said in sorted(wrong, reverse=True)[:_MOST_CONFUSIONS]
    ]
