"""`lfkit train`: learn to generate labeled images."""

from __future__ import annotations

from contextlib import nullcontext

import typer

from lfkit.cli.console import echo
from lfkit.cli.options import Json, with_options
from lfkit.commands.train_options import TrainOptions


@with_options(TrainOptions)
def train(options: TrainOptions, as_json: Json = False) -> None:
    """Train a generator on a run; the same command goes on after a stop."""
    from lfkit.cli.progress import Bars
    from lfkit.commands.train import train as train_generator
    from lfkit.errors import RunError
    from lfkit.nn import distributed
    from lfkit.runs.json_text import to_json
    from lfkit.runs.store import locked

    run, is_first = options.run, distributed().is_first  # of several processes
    if not (run / "run.json").exists():
        raise RunError(f"{run} is no run folder; make one with `lfkit apply`.")
    try:
        with (
            locked(run) if is_first else nullcontext(),
            Bars(quiet=as_json or not is_first) as bars,
        ):
            say = (lambda text: None) if as_json else bars.say
            result = train_generator(options, bars, say)
            bars.close()
    except KeyboardInterrupt:
        without = ", without --restart," if options.restart else ""
        echo(
            f"\nStopped. What is trained is kept in {options.folder}, up to the last "
            f"checkpoint; run the same command{without} to go on.",
            err=True,
        )
        raise typer.Exit(130) from None
    if not is_first:
        return
    if as_json:
        echo(to_json(result.to_dict()))
        return
    again = " (before; --restart trains it anew)" if result.already_trained else ""
    echo(f"{result.generator} is trained, {result.steps:,} steps{again}.")
    for path in result.files:
        echo(path)
    if result.broken:
        echo(f"WARNING: {result.broken}")
        return
    echo(f"Next: lfkit generate {run} -n 1000 --with {result.generator} --out images")
