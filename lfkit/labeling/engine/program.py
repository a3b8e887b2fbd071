"""Plans the evaluation of a block: what runs at which level, and as which program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lfkit.features.feature import Feature, image
from lfkit.labeling.engine.worker import Program, Step
from lfkit.labeling.labeling_function import LabelingFunction


def levels_of(
    order: Sequence[Feature],
    voters: Sequence[LabelingFunction],
    known: set[Feature],
) -> dict[Feature | LabelingFunction, int]:
    """Count, per function, how often its inputs cross between workers and threads."""
    level: dict[Feature | LabelingFunction, int] = {}
    for node in order:
        level[node] = max(
            (
                level[source] + (source.batched != node.batched)
                for source in node.of
                if not source.is_given
            ),
            default=0,
        )
    for lf in voters:
        level[lf] = max(
            (
                level[source] + source.batched
                for source in lf.features
                if not source.is_given and source not in known
            ),
            default=0,
        )
    return level


def crossing_features(
    order: Sequence[Feature],
    level: Mapping[Feature | LabelingFunction, int],
    wanted: Sequence[Feature],
) -> set[Feature]:
    """Features whose values leave the process or level that computes them."""
    crossing = set(wanted)
    for node in order:
        for source in node.of:
            if not source.is_given and (
                source.batched != node.batched or level[source] != level[node]
            ):
                crossing.add(source)
    return crossing


def make_program(
    nodes: Sequence[Feature],
    voters: Sequence[LabelingFunction],
    crossing: set[Feature],
    n_classes: int | None,
) -> tuple[Program, list[tuple[Feature, bool]]]:
    """Turn per-image functions into a program: slots for image, inputs, results.

    Returns
    -------
    The program, and the inputs it takes from outside, in the order of their slots from
    1 on: (feature, True if rounded as it is stored).
    """
    reads = [(source, False) for node in nodes for source in node.of]
    reads += [(source, True) for lf in voters for source in lf.features]
    external = [
        (source, rounded)
        for source, rounded in dict.fromkeys(reads)
        if source is not image and source not in nodes
    ]
    slot = {key: number for number, key in enumerate(external, start=1)}
    slot[image, False] = slot[image, True] = 0
    for number, node in enumerate(nodes, start=len(external) + 1):
        slot[node, False] = slot[node, True] = number
    steps = [
        Step(
            name=node.name,
            fn=node.fn,
            inputs=tuple(slot[source, False] for source in node.of),
            slot=slot[node, False],
            keywords=dict(node.learned or {}),
        )
        for node in nodes
    ]
    steps += [
        Step(
            name=lf.name,
            fn=lf.fn,
            inputs=tuple(slot[source, True] for source in lf.features),
            slot=None,
            keywords=lf.keywords,
            classes=lf.classes,
            soft=lf.soft,
        )
        for lf in voters
    ]
    wanted = frozenset(slot[node, False] for node in nodes if node in crossing)
    return Program(tuple(steps), wanted, n_classes), external
