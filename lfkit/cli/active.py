"""`lfkit active`: ask for the labels of a few images, chosen by a generator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lfkit.cli.console import echo
from lfkit.cli.options import LFs, RunFolder, TrustCode


def active(
    run: RunFolder,
    budget: Annotated[
        int, typer.Option(help="Labels to ask for, in all.", metavar="N")
    ],
    name: Annotated[
        str, typer.Option("--with", help="The generator (lfkit list generators).")
    ] = "acgan",
    query: Annotated[
        str,
        typer.Option(
            help="Which images: those whose class it is surest of (most-confidence, "
            "large-margin, least-entropy: three measures), uncertainty (least sure), "
            "or random.",
            metavar="RULE",
        ),
    ] = "uncertainty",
    per_round: Annotated[
        int | None,
        typer.Option(
            help="Labels asked for before it is trained again; by default a quarter.",
            metavar="K",
        ),
    ] = None,
    quota: Annotated[
        bool,
        typer.Option(
            "--quota/--no-quota",
            help="Every predicted class gives at most its even share of a round, while "
            "others have images left.",
        ),
    ] = True,
    oracle: Annotated[
        str,
        typer.Option(
            help="Who answers: data (a simulation, by the data's own labels), csv (you "
            "fill in a table) or label-studio (tasks to import).",
            metavar="WHO",
        ),
    ] = "data",
    answers: Annotated[
        Path | None,
        typer.Option(help="A JSON export of Label Studio.", metavar="FILE"),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(help="Updates of the networks, each round.", metavar="N"),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting. May be repeated.", metavar="KEY=VALUE"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart",
            help="Begin anew; people's answers stay under another name.",
        ),
    ] = False,
    lfs: LFs = None,
    trust_code: TrustCode = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON.")
    ] = False,
) -> None:
    """Ask for labels of a few images, round by round, and learn from them.

    Answers go to RUN/active/answers.csv, new labels of all images to
    RUN/active/labels.csv; RUN's own labels stay. The last generator is NAME-active:
    `lfkit generate RUN --with NAME-active`. The same command goes on after a stop.
    """
    from lfkit.cli.options import training_settings
    from lfkit.cli.progress import Bars
    from lfkit.commands.active.active import learn_actively
    from lfkit.commands.active.options import ActiveOptions
    from lfkit.errors import InputError, RunError
    from lfkit.nn import distributed
    from lfkit.runs.json_text import to_json
    from lfkit.runs.store import locked

    inquiry = ActiveOptions(
        name=name,
        budget=budget,
        per_round=per_round,
        query=query,
        oracle=oracle,
        quota=quota,
        answers=answers,
        settings=training_settings(None, settings or [], steps, seed),
        restart=restart,
        lfs=tuple(lfs or ()),
        trust_code=trust_code,
    )
    if distributed().count > 1:
        raise InputError(
            "lfkit active runs in one process; start it without a launcher."
        )
    if not (run / "run.json").exists():
        raise RunError(f"{run} is no run folder; make one with `lfkit apply`.")
    try:
        with locked(run), Bars(quiet=as_json) as bars:
            result = learn_actively(
                run,
                inquiry,
                say=lambda text: None if as_json else bars.say(text),
                progress=bars,
            )
            bars.close()
    except KeyboardInterrupt:
        echo(
            f"\nStopped. Answers and what is trained are kept in {run / 'active'}; run "
            f"the same command{', without --restart,' if restart else ''} to go on.",
            err=True,
        )
        raise typer.Exit(130) from None
    if as_json:
        echo(to_json(result))
        return
    _tell(run, result)


def _tell(run: Path, result: dict[str, Any]) -> None:
    """Print what was asked, how right the guesses were, and what the labels gained."""
    for each in result["rounds"]:
        even = 1 / len(each["classes"])
        echo(
            f"round {each['round']}: {each['asked']} labels, "
            f"{each['guesses_right'] or 0:.0%} of the guesses right; most of one class "
            f"{each['largest_share']:.0%} (even: {even:.0%}){_short(each['accuracy'])}"
        )
    counts = [each["classes"] for each in result["rounds"]]
    if counts:
        asked = {label: sum(each[label] for each in counts) for label in counts[0]}
        named = ", ".join(f"{label}: {count}" for label, count in asked.items())
        echo(f"{result['asked']} of {result['budget']} labels: {named}")
    if found := result["accuracy"]:
        before = f"{found['before']:.1%} before"
        if result["refined_before"]:
            before += f" (refined; {found['before_by_votes']:.1%} by votes alone)"
        echo(
            f"accuracy on the {found['n']:,} images neither seed nor answered: "
            f"{before}, {found['after']:.1%} after; majority vote "
            f"{found['majority_vote']:.1%}"
        )
    for path in result["files"]:
        echo(path)
    if result["waiting"]:
        echo(result["waiting"]["what"])
        return
    echo(
        "To fit the functions on seeds and answers, too: the same lfkit apply with "
        f"--seed-labels {run / 'active' / 'seeds.csv'} and another --out"
    )
    echo(f"Next: lfkit generate {run} -n 1000 --with {result['trained']} --out images")


def _short(accuracy: dict[str, Any] | None) -> str:
    return "" if accuracy is None else f"; labels {accuracy['after']:.1%} right"
