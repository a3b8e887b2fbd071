"""`lfkit aggregate`: other labels from the same votes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lfkit.cli.console import echo


def aggregate(
    votes: Annotated[
        Path, typer.Argument(help="A run folder, or a file of votes (.npy, .csv, …).")
    ],
    name: Annotated[
        str,
        typer.Option(
            "--with",
            help="How votes become labels (lfkit list): an aggregator, or a generator "
            "trained in the run.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where labels.parquet and labels.csv go; without it labels-NAME.* "
            "beside the run's own labels.",
            metavar="FOLDER",
        ),
    ] = None,
    class_balance: Annotated[
        str | None, typer.Option(help="Shares of the classes, if known.", metavar="P,…")
    ] = None,
    n_classes: Annotated[
        int | None, typer.Option(help="Number of classes of a file of votes.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="For every random choice; by default the run's, or 0."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON.")
    ] = False,
) -> None:
    """Turn votes into labels with another aggregator; no function is called."""
    from lfkit.runs.json_text import to_json
    from lfkit.runs.options import shares_of

    balance = None
    if class_balance is not None:
        balance = shares_of("--class-balance")(class_balance)
    if (votes / "run.json").exists():
        result = _aggregate_run(votes, name, balance, out, seed)
    else:
        result = _aggregate_file(
            votes, name, balance, out or Path(), n_classes, seed or 0
        )
    if as_json:
        echo(to_json(result))
        return
    by = name if result["chosen"] == name else f"{name}: {result['chosen']}"
    echo(f"{result['labeled']:,} of {result['images']:,} images labeled by {by}.")
    if result["reason"]:
        how = "by" if result["chosen"] == name else "chosen since"
        echo(f"{how} {result['reason']}")
    for note in result.get("notes", ()):
        echo(f"Note: {note}.")
    for title, key in (
        ("accuracy", "accuracy"),
        ("majority vote", "majority_vote_accuracy"),
    ):
        if result[key] is not None:
            found = result[key]
            echo(f"{title}: {found['of_all']:.1%} of {found['n']:,} images")
    for path in result["files"]:
        echo(path)


def _aggregate_run(
    run: Path,
    name: str,
    balance: tuple[float, ...] | None,
    out: Path | None,
    seed: int | None,
) -> dict[str, Any]:
    import numpy as np

    from lfkit.aggregators import AGGREGATORS
    from lfkit.aggregators.aggregate import aggregate as aggregate_votes
    from lfkit.runs.run_config import load_config
    from lfkit.runs.run_files import (
        load_images,
        load_votes,
        not_scored,
        save_labels,
        unreadable_rows,
    )

    if name not in AGGREGATORS and _is_generator(name):
        from lfkit.commands.relabel import relabel

        loaded, labels = relabel(run, name)
        paths = save_labels(
            out or run,
            loaded.index.column("image_id").to_pylist(),
            labels,
            class_names=loaded.config.class_names,
            stem=f"labels-{name}" if out is None else "labels",
        )
        balance = balance or loaded.config.options.class_balance
        return _result(loaded.votes, labels, loaded.truth, loaded.given, balance, paths)
    config = load_config(run)
    balance = balance or config.options.class_balance
    found = load_votes(run, config)
    index = load_images(run)
    assert index is not None, "load_votes has read it"
    seed = config.options.seed if seed is None else seed
    labels = aggregate_votes(found, name, balance, seed, unreadable_rows(index))
    paths = save_labels(
        out or run,
        index.column("image_id").to_pylist(),
        labels,
        class_names=config.class_names,
        stem=f"labels-{name}" if out is None else "labels",
    )
    truth = index.column("true_class").to_numpy().astype(np.int64)
    given = not_scored(index, found)
    return _result(found, labels, truth, given, balance, paths)


def _is_generator(name: str) -> bool:
    from lfkit.generators import GENERATORS  # loads torch

    return name in GENERATORS


def _aggregate_file(
    path: Path,
    name: str,
    balance: tuple[float, ...] | None,
    out: Path,
    n_classes: int | None,
    seed: int,
) -> dict[str, Any]:
    import numpy as np

    from lfkit.aggregators.aggregate import aggregate as aggregate_votes
    from lfkit.data.vote_files import read_votes
    from lfkit.errors import VotesError
    from lfkit.runs.run_files import save_labels

    file = read_votes(path, n_classes)
    if not len(file.votes):
        raise VotesError(f"{path} has votes on no image; give one row per image.")
    labels = aggregate_votes(file.votes, name, balance, seed)
    n, k = len(file.votes), file.votes.n_classes
    names = file.class_names or tuple(str(label) for label in range(k))
    ids = file.ids or tuple(str(row) for row in range(n))
    paths = save_labels(out, ids, labels, class_names=names)
    truth = np.full(n, -1, np.int64) if file.labels is None else file.labels
    result = _result(file.votes, labels, truth, labels.is_seed, balance, paths)
    return result | {"notes": list(file.notes)}


def _result(
    votes: Any,
    labels: Any,
    truth: Any,
    given: Any,
    balance: tuple[float, ...] | None,
    paths: list[Path],
) -> dict[str, Any]:
    from lfkit.aggregators.aggregate import aggregate as aggregate_votes
    from lfkit.data.labels import score

    accuracy = score(labels.labels, truth, given)
    majority = score(
        aggregate_votes(votes, "majority-vote", balance).labels, truth, given
    )
    return {
        "images": len(votes),
        "labeled": int((labels.labels >= 0).sum()),
        "chosen": labels.chosen,
        "reason": labels.reason,
        "accuracy": None if accuracy is None else vars(accuracy),
        "majority_vote_accuracy": None if majority is None else vars(majority),
        "files": [str(path) for path in paths],
    }
