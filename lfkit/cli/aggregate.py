"""`lfkit aggregate`: other labels from the same votes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lfkit.cli.console import echo
from lfkit.cli.options import Json, with_options
from lfkit.commands.options import AggregateOptions

if TYPE_CHECKING:
    from lfkit.commands.refit import Refitted


@with_options(AggregateOptions)
def aggregate(options: AggregateOptions, as_json: Json = False) -> None:
    """Turn votes into labels with another aggregator; no function is called."""
    from lfkit.commands.aggregate import aggregate as aggregate_votes
    from lfkit.commands.refit import are_patterns, refit
    from lfkit.runs.json_text import to_json

    if are_patterns(options.votes):
        made = refit(options)
        if as_json:
            echo(to_json(made.to_dict()))
        else:
            _show_labeler(made)
        return
    found = aggregate_votes(options)
    if as_json:
        echo(to_json(found.to_dict()))
        return
    name = options.aggregator
    by = name if found.chosen == name else f"{name}: {found.chosen}"
    echo(f"{found.labeled:,} of {found.images:,} images labeled by {by}.")
    if found.reason:
        echo(f"{'by' if found.chosen == name else 'chosen since'} {found.reason}")
    if found.class_shares:
        echo(f"class shares: {found.class_shares}")
    if unlike := found.plain_vote.sentence():
        echo(f"{unlike}.")
    for note in found.notes:
        echo(f"Note: {note}.")
    for title, accuracy in (
        ("accuracy", found.accuracy),
        ("majority vote", found.majority_vote_accuracy),
    ):
        if accuracy is not None:
            echo(f"{title}: {100 * accuracy.of_all:.1f} % of {accuracy.n:,} images")
    for path in found.files:
        echo(path)


def _show_labeler(made: Refitted) -> None:
    echo(
        f"{made.folder}: a labeler whose votes are combined by {made.chosen}, fitted "
        f"on {made.images:,} images ({made.patterns:,} different rows of votes)"
    )
    if made.reason:
        echo(f"chosen since {made.reason}")
    if made.held_out_accuracy is not None:
        echo(f"on the seeds: {100 * made.held_out_accuracy:.1f} %, each held out")
    for note in made.notes:
        echo(f"Note: {note}.")
