"""`lfkit generate`: new images that come with labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lfkit.cli.console import echo
from lfkit.cli.options import LFs, RunFolder, TrustCode


def generate(
    run: RunFolder,
    out: Annotated[Path, typer.Option(help="A new folder.", metavar="FOLDER")],
    n: Annotated[
        int | None, typer.Option("-n", help="How many images.", metavar="N")
    ] = None,
    name: Annotated[
        str, typer.Option("--with", help="The generator, if the run has several.")
    ] = "",
    form: Annotated[
        str, typer.Option("--format", help="folder, npz, parquet or webdataset.")
    ] = "folder",
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", help="Only this class. May be repeated."),
    ] = None,
    balanced: Annotated[
        bool, typer.Option("--balanced", help="As many images of every class.")
    ] = False,
    shares: Annotated[
        str | None,
        typer.Option(help="Shares of the classes, in their order.", metavar="P,…"),
    ] = None,
    min_confidence: Annotated[
        float,
        typer.Option(
            help="Keep images on which the trusted functions name the label with so "
            "much of their weight, or of which the generator itself is so sure.",
            metavar="P",
        ),
    ] = 0.0,
    revote: Annotated[
        bool,
        typer.Option(
            "--revote", help="The functions vote on every image, for its confidence."
        ),
    ] = False,
    code: Annotated[
        int | None,
        typer.Option(
            "--traverse",
            help="Draw what a continuous code of the generator does, 1 or more, in the "
            "place of images.",
            metavar="CODE",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Other seed, other images.")] = 0,
    lfs: LFs = None,
    trust_code: TrustCode = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON.")
    ] = False,
) -> None:
    """Make labeled images with a trained generator."""
    from lfkit.cli.progress import Bars
    from lfkit.commands.generate import GenerateOptions
    from lfkit.commands.generate import generate as generate_images
    from lfkit.errors import InputError
    from lfkit.runs.json_text import to_json
    from lfkit.runs.options import shares_of

    if seed < 0:
        raise InputError(f"--seed is {seed}; give a whole number from 0 on.")
    if code is not None:
        from lfkit.commands.generate import traverse

        of_images = {
            "-n": n is not None,
            "--class": bool(classes),
            "--balanced": balanced,
            "--shares": shares is not None,
            "--min-confidence": min_confidence > 0,
            "--revote": revote,
        }
        if given := [option for option, value in of_images.items() if value]:
            raise InputError(
                f"--traverse draws twelve images of every class; leave {given[0]} out."
            )
        path = traverse(run, name, code, out, seed)
        echo(to_json({"files": [str(path)]}) if as_json else path)
        return
    if n is None:
        raise InputError("give -n, the number of images; or --traverse, a code.")
    order = GenerateOptions(
        n=n,
        out=out,
        name=name,
        format=form,
        classes=tuple(classes or ()),
        balanced=balanced,
        shares=() if shares is None else shares_of("--shares")(shares),
        min_confidence=min_confidence,
        revote=revote,
        seed=seed,
        lfs=tuple(lfs or ()),
        trust_code=trust_code,
    )
    try:
        with Bars(quiet=as_json) as bars:
            result = generate_images(run, order, bars)
            bars.close()
    except KeyboardInterrupt:
        echo(
            f"\nStopped. What is written stays in {out}; run the same command to go "
            "on.",
            err=True,
        )
        raise typer.Exit(130) from None
    if as_json:
        echo(to_json(result))
        return
    echo(f"{result['images']:,} images by {result['generator']}:")
    for label, count in result["classes"].items():
        echo(f"  {label:<20} {count:,}")
    for path in result["files"]:
        echo(path)
    if result.get("broken"):  # older manifests have no such entry
        echo(f"WARNING: {result['broken']}")
