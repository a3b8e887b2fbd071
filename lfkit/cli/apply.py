"""`lfkit apply`: images and labeling functions in, labels out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lfkit.cli.console import echo
from lfkit.errors import DeclarationError


def apply(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A named data set (digits, fashion-mnist), a folder of images, .npz, "
            "idx files, or a CSV/Parquet manifest.",
        ),
    ],
    lfs: Annotated[
        list[str] | None,
        typer.Option(
            "--lfs",
            metavar="SPEC",
            help="Labeling functions: a module (lf_library.digits), a file (my_lfs.py) "
            "or one of its names (my_lfs.py:name). May be repeated.",
        ),
    ] = None,
    votes: Annotated[
        Path | None,
        typer.Option(help="Votes made elsewhere, instead of --lfs.", metavar="FILE"),
    ] = None,
    out: Annotated[Path, typer.Option(help="The run folder.", metavar="RUN")] = Path(
        "run"
    ),
    kinds: Annotated[
        str | None,
        typer.Option(
            help="Only functions of these kinds: heuristic,deep,…", metavar="KIND,…"
        ),
    ] = None,
    seed_labels: Annotated[
        Path | None,
        typer.Option(
            help="The labels you have: a CSV with image_id and label.", metavar="FILE"
        ),
    ] = None,
    seeds_per_class: Annotated[
        int | None,
        typer.Option(
            help="Draw so many labeled images per class as the only labels lfkit sees.",
            metavar="N",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="For every random choice.")] = 0,
    aggregator: Annotated[
        str,
        typer.Option(
            "--with",
            help="How votes become labels (lfkit list); baseline: the labels of the "
            "best plain classifier trained on the seeds.",
            metavar="NAME",
        ),
    ] = "auto",
    refine: Annotated[
        bool,
        typer.Option("--refine", help="Improve the labels by looking at the images."),
    ] = False,
    stages: Annotated[
        str | None,
        typer.Option(
            help="Only these stages of --refine: lda,align,diffuse,metric,cnn,joint",
            metavar="STAGE,…",
        ),
    ] = None,
    max_minutes: Annotated[
        float | None, typer.Option(help="Time for --refine.", metavar="M")
    ] = None,
    target_precision: Annotated[
        float | None,
        typer.Option(
            help="Keep as many labels as are right so often together: .95", metavar="P"
        ),
    ] = None,
    class_balance: Annotated[
        str | None,
        typer.Option(help="Shares of the classes, if known: .5,.3,.2", metavar="P,…"),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="Resize every image: 64, or 64x48 (height x width).", metavar="SIZE"
        ),
    ] = None,
    color: Annotated[
        str | None,
        typer.Option(help="Convert every image: gray or rgb.", metavar="COLOR"),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first fault.")
    ] = False,
    lf_timeout: Annotated[
        float,
        typer.Option(help="Seconds before one call of a per-image function is killed."),
    ] = 30.0,
    recompute: Annotated[
        list[str] | None,
        typer.Option(
            help="Vote again with this function or feature, or all, and do not use "
            "what is stored. May be repeated.",
            metavar="NAME",
        ),
    ] = None,
    baselines: Annotated[
        bool,
        typer.Option(help="Score plain classifiers trained on the seeds, to compare."),
    ] = True,
    sheet: Annotated[
        bool, typer.Option(help="Draw the contact sheet of the labels.")
    ] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON.")
    ] = False,
) -> None:
    """Label every image of DATA with labeling functions.

    Killed at any moment, the same command goes on from what is on disk.
    """
    from lfkit.cli.options import parse_size, split_list, split_shares
    from lfkit.cli.progress import Bars
    from lfkit.cli.summary_panel import show_summary
    from lfkit.commands.apply import ApplyOptions, label_data
    from lfkit.runs.json_text import to_json
    from lfkit.runs.run_files import check_folder
    from lfkit.runs.store import locked

    if bool(lfs) == (votes is not None):
        raise DeclarationError(
            "give labeling functions with --lfs SPEC, or votes made elsewhere with "
            "--votes FILE."
        )
    if recompute and votes is not None:
        raise DeclarationError(
            "--recompute is for --lfs; a file of votes is read anew."
        )
    if not refine and (max_minutes is not None or stages is not None):
        raise DeclarationError("--max-minutes and --stages are for --refine; add it.")
    if seed_labels is not None and seeds_per_class is not None:
        raise DeclarationError("give --seed-labels or --seeds-per-class, not both.")
    request = ApplyOptions(
        data=data,
        out=out,
        specs=tuple(lfs or ()),
        votes_file=votes,
        kinds=split_list(kinds),
        seed_labels=seed_labels,
        seeds_per_class=seeds_per_class,
        seed=seed,
        aggregator=aggregator,
        refine=refine,
        stages=split_list(stages),
        max_minutes=max_minutes,
        target_precision=target_precision,
        class_balance=split_shares(class_balance),
        size=parse_size(size),
        color=color,
        strict=strict,
        lf_timeout=lf_timeout,
        baselines=baselines,
        sheet=sheet,
        recompute=tuple(recompute or ()),
    )
    check_folder(out)
    try:
        with locked(out), Bars(quiet=as_json) as bars:
            summary = label_data(request, bars)
            bars.close()
    except KeyboardInterrupt:
        echo(
            f"\nStopped. What is computed is kept in {out}; run the same command to "
            "go on.",
            err=True,
        )
        raise typer.Exit(130) from None
    if as_json:
        echo(to_json(summary))
    else:
        show_summary(summary)
