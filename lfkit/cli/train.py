"""`lfkit train`: learn to make labeled images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lfkit.cli.console import echo
from lfkit.cli.options import LFs, RunFolder, TrustCode


def train(
    run: RunFolder,
    name: Annotated[
        str, typer.Option("--with", help="The generator (lfkit list generators).")
    ] = "adp",
    steps: Annotated[
        int | None, typer.Option(help="Updates of the networks.", metavar="N")
    ] = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(
            help="As many steps as fit in so much time, by a timed start.", metavar="M"
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting. May be repeated.", metavar="KEY=VALUE"),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="A JSON file of settings; --set wins.", metavar="FILE"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    restart: Annotated[
        bool, typer.Option("--restart", help="Forget an earlier training.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on, and fail if there is nothing to go on."),
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write event files, too.")
    ] = False,
    lfs: LFs = None,
    trust_code: TrustCode = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON.")
    ] = False,
) -> None:
    """Train a generator on a run; the same command goes on after a stop."""
    from contextlib import ExitStack

    from lfkit.cli.progress import Bars
    from lfkit.commands.train import train_generator
    from lfkit.commands.train_options import training_settings
    from lfkit.errors import InputError, RunError
    from lfkit.nn import distributed
    from lfkit.runs.json_text import to_json
    from lfkit.runs.store import locked

    if resume and restart:
        raise InputError("give --resume or --restart, not both.")
    if steps is not None and max_minutes is not None:
        raise InputError("give --steps or --max-minutes, not both.")
    chosen = training_settings(config, settings or [], steps, seed)
    if "n_steps" in chosen and max_minutes is not None:
        raise InputError("give n_steps, --steps or --max-minutes, only one of them.")
    if not (run / "run.json").exists():
        raise RunError(f"{run} is no run folder; make one with `lfkit apply`.")
    if resume and not (run / "models" / name / "settings.json").exists():
        raise RunError(f"{run} has no training of {name!r} to go on with.")
    is_first = distributed().is_first  # of several processes; the others lend a hand
    try:
        with ExitStack() as opened:
            if is_first:
                opened.enter_context(locked(run))
            bars = opened.enter_context(Bars(quiet=as_json or not is_first))
            result = train_generator(
                run,
                name,
                settings=chosen,
                max_minutes=max_minutes,
                restart=restart,
                tensorboard=tensorboard,
                lfs=lfs or (),
                trust_code=trust_code,
                say=lambda text: None if as_json else bars.say(text),
                progress=bars,
            )
            bars.close()
    except KeyboardInterrupt:
        echo(
            f"\nStopped. What is trained is kept in {run / 'models' / name}, up to the "
            "last checkpoint; run the same command"
            f"{', without --restart,' if restart else ''} to go on.",
            err=True,
        )
        raise typer.Exit(130) from None
    if not is_first:
        return
    if as_json:
        echo(to_json(result))
        return
    broken = result["broken"]
    again = " (before; --restart trains it anew)" if result["already_trained"] else ""
    echo(f"{name} is trained, {result['steps']:,} steps{again}.")
    for path in result["files"]:
        echo(path)
    if broken:
        echo(f"WARNING: {broken}")
        return
    echo(f"Next: lfkit generate {run} -n 1000 --with {name} --out images")
