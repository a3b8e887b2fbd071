"""`lfkit aggregate`: other labels from the same votes."""

from __future__ import annotations

from lfkit.cli.console import echo
from lfkit.cli.options import Json, with_options
from lfkit.commands.options import AggregateOptions


@with_options(AggregateOptions)
def aggregate(options: AggregateOptions, as_json: Json = False) -> None:
    """Turn votes into labels with another aggregator; no function is called."""
    from lfkit.commands.aggregate import aggregate as aggregate_votes
    from lfkit.runs.json_text import to_json

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
            echo(f"{title}: {accuracy.of_all:.1%} of {accuracy.n:,} images")
    for path in found.files:
        echo(path)
