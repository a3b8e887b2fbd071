"""`lfkit generate`: new images that come with labels."""

from __future__ import annotations

import typer

from lfkit.cli.console import echo
from lfkit.cli.options import Json, with_options
from lfkit.commands.generate_options import GenerateOptions


@with_options(GenerateOptions)
def generate(options: GenerateOptions, as_json: Json = False) -> None:
    """Generate labeled images with a trained generator."""
    from lfkit.cli.progress import Bars
    from lfkit.commands.generate import generate as generate_images
    from lfkit.commands.traverse import traverse
    from lfkit.runs.json_text import to_json

    if options.traverse is not None:
        path = traverse(options)
        echo(to_json({"files": [str(path)]}) if as_json else path)
        return
    try:
        with Bars(quiet=as_json) as bars:
            result = generate_images(options, bars)
            bars.close()
    except KeyboardInterrupt:
        echo("\nStopped. Nothing is written; run the same command again.", err=True)
        raise typer.Exit(130) from None
    if as_json:
        echo(to_json(result.to_dict()))
        return
    echo(f"{result.images:,} images by {result.generator}:")
    for label, count in result.classes.items():
        echo(f"  {label:<20} {count:,}")
    for file in result.files:
        echo(file)
    if result.broken:
        echo(f"WARNING: {result.broken}")
