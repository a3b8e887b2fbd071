"""`lfkit active`: ask for the labels of a few images, chosen by a generator."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lfkit.cli.console import echo
from lfkit.cli.options import Json, with_options
from lfkit.commands.active.options import ActiveOptions

if TYPE_CHECKING:
    from lfkit.commands.active.results import ActiveSummary

_RETRY_S = 1.0


@with_options(ActiveOptions)
def active(options: ActiveOptions, as_json: Json = False) -> None:
    """Ask for labels of a few images, round by round, and learn from them.

    Answers go to RUN/active/answers.csv, new labels of all images to
    RUN/active/labels.csv; RUN's own labels stay. The last generator is NAME-active:
    `lfkit generate RUN --with NAME-active`. The same command goes on after a stop.
    """
    from lfkit.runs.json_text import to_json
    from lfkit.runs.run_config import load_config

    run = options.run
    load_config(run)  # before the lock: it is a run folder
    ask = _ask_in_studio if options.oracle == "studio" else _learn
    try:
        result = ask(options, as_json)
    except KeyboardInterrupt:
        kept = run if options.oracle == "studio" else run / "active"
        without = ", without --restart," if options.restart else ""
        echo(
            f"\nStopped. Answers and what is trained are kept in {kept}; run "
            f"the same command{without} to go on.",
            err=True,
        )
        raise typer.Exit(130) from None
    if as_json:
        echo(to_json(result.to_dict()))
    else:
        _show(run, result)


def _learn(options: ActiveOptions, is_quiet: bool) -> ActiveSummary:
    """Ask and learn until all is done, or people have to answer."""
    from lfkit.cli.progress import Bars
    from lfkit.commands.active.active import active as learn_actively
    from lfkit.runs.store import locked

    with locked(options.run), Bars(quiet=is_quiet) as bars:
        say = (lambda text: None) if is_quiet else bars.say
        result = learn_actively(options, say=say, progress=bars)
        bars.close()
    return result


def _ask_in_studio(options: ActiveOptions, is_quiet: bool) -> ActiveSummary:
    """Ask and learn; while people answer, the studio may use the run folder."""
    from lfkit.cli.progress import Bars
    from lfkit.studio import check_installed

    check_installed()
    from lfkit.studio.active_rounds import active_rounds

    result = _learn_when_free(options, is_quiet)
    options = replace(options, restart=False)
    with active_rounds(options.run, options.lfs, lambda t: echo(t, err=True)) as rounds:
        while result.waiting is not None:
            with Bars(quiet=is_quiet) as bars:
                rounds.take_answers(bars)
            result = _learn_when_free(options, is_quiet)
    return result


def _learn_when_free(options: ActiveOptions, is_quiet: bool) -> ActiveSummary:
    """Learn as soon as the studio, which labels all images anew, leaves the run."""
    from lfkit.runs.store import RunInUseError

    is_told = False
    while True:
        try:
            return _learn(options, is_quiet)
        except RunInUseError as error:
            if not is_told:
                echo(f"It goes on when the run is free: {error}", err=True)
            is_told = True
            time.sleep(_RETRY_S)


def _show(run: Path, result: ActiveSummary) -> None:
    """Print what was asked, how right the guesses were, and what the labels gained."""
    for each in result.rounds:
        accuracy = each.accuracy
        right = "" if accuracy is None else f"; labels {accuracy.after:.1%} right"
        echo(
            f"round {each.round}: {each.asked} labels, {each.guesses_right or 0:.0%} "
            f"of the guesses right; most of one class {each.largest_share:.0%} (even: "
            f"{1 / len(each.classes):.0%}){right}"
        )
    if result.rounds:
        counts = [each.classes for each in result.rounds]
        asked = {label: sum(each[label] for each in counts) for label in counts[0]}
        named = ", ".join(f"{label}: {count}" for label, count in asked.items())
        echo(f"{result.asked} of {result.budget} labels: {named}")
    if found := result.accuracy:
        before = f"{found.before:.1%} before"
        if result.refined_before:
            before += f" (refined; {found.before_by_votes:.1%} by votes alone)"
        echo(
            f"accuracy on the {found.n:,} images neither seed nor answered: {before}, "
            f"{found.after:.1%} after; majority vote {found.majority_vote:.1%}"
        )
    for path in result.files:
        echo(path)
    if result.waiting:
        echo(result.waiting.what)
        return
    echo(
        "To fit the functions on seeds and answers, too: the same lfkit apply with "
        f"--seed-labels {run / 'active' / 'seeds.csv'} and another --out"
    )
    echo(f"Next: lfkit generate {run} -n 1000 --with {result.trained} --out images")
