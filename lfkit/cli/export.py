"""`lfkit export`: the votes of a run, or of a file, for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lfkit.cli.console import echo

if TYPE_CHECKING:
    from lfkit.data.vote_files import VoteFile


def export(
    votes: Annotated[
        Path, typer.Argument(help="A run folder, or a file of votes (.npy, .csv, …).")
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="Where the votes go: .npz (everything), .npy (Snorkel), .csv or "
            ".parquet, or a name without ending (a WRENCH folder).",
            metavar="FILE",
        ),
    ],
    style: Annotated[
        str | None,
        typer.Option(
            "--as",
            help="npz, table, snorkel, wrench, crowd-kit (task, worker, label) or "
            "sparse (scipy's .npz); without it the ending decides.",
            metavar="FORMAT",
        ),
    ] = None,
    n_classes: Annotated[
        int | None, typer.Option(help="Number of classes of a file of votes.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON.")
    ] = False,
) -> None:
    """Write votes for Snorkel, crowd-kit, WRENCH or a table; no function is called."""
    from lfkit.data.vote_files import read_votes, write_votes
    from lfkit.runs.json_text import to_json

    is_run = (votes / "run.json").exists()
    file = _of_run(votes) if is_run else read_votes(votes, n_classes)
    left_out = write_votes(
        out,
        file.votes,
        ids=file.ids,
        labels=file.labels,
        class_names=file.class_names,
        format=style,
    )
    if as_json:
        result = {
            "file": str(out),
            "images": len(file.votes),
            "functions": file.votes.n_functions,
            "classes": file.votes.n_classes,
            "left_out": left_out,
            "notes": list(file.notes),
        }
        echo(to_json(result))
        return
    echo(
        f"{out}: {file.votes.n_functions:,} functions' votes on {len(file.votes):,} "
        "images"
    )
    for note in file.notes:
        echo(f"Note: {note}.")
    for sentence in left_out:
        echo(sentence)


def _of_run(run: Path) -> VoteFile:
    """Read a run's votes, with the classes that the data or the user knows."""
    import numpy as np

    from lfkit.data.vote_files import VoteFile
    from lfkit.runs.run_config import load_config
    from lfkit.runs.run_files import load_images, load_votes

    config = load_config(run)
    votes = load_votes(run, config)
    index = load_images(run)
    assert index is not None, "load_votes has read it"
    labels = index.column("true_class").to_numpy().astype(np.int64)
    if votes.seed_rows is not None and votes.seed_labels is not None:
        labels[votes.seed_rows] = votes.seed_labels
    ids = tuple(index.column("image_id").to_pylist())
    return VoteFile(votes, ids, labels, config.class_names)
