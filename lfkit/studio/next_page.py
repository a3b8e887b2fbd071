"""The images of the page Next, in sections that say why they are shown."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lfkit.studio.image_lists import ImageList, ListSection
from lfkit.studio.next_images import UNCOVERED, suggestions
from lfkit.studio.random_sample import N_DRAWN, random_order
from lfkit.studio.studio_session import StudioSession

_ASKED_FOR = "Asked for by lfkit active"
_N_NEXT = 60


def asked_rows(session: StudioSession) -> NDArray[np.int64]:
    """List the images that `lfkit active` asks about and that have no answer yet."""
    if session.asked is None or session.answers is None:
        return np.zeros(0, np.int64)
    wanted = set(session.asked.ids)
    row_of = {name: r for r, name in enumerate(session.images.ids) if name in wanted}
    rows = [row_of[name] for name in session.asked.ids if name in row_of]
    answered = set(session.answers.rows.tolist())
    return np.asarray([row for row in rows if row not in answered], np.int64)


def next_list(session: StudioSession) -> ImageList:
    """List what to look at next, a fixed share of it drawn at random.

    What `lfkit active` asks about comes first.
    """
    if session.answers is None:
        return ImageList(np.zeros(0, np.int64), ())
    asked = asked_rows(session)
    outcome, k = session.shown, len(session.class_names)
    # There is no function yet, or none with these classes.
    if outcome is None or outcome.class_names != session.class_names:
        all_rows = np.arange(len(session.images))
        votes = np.zeros((len(all_rows), k), np.float32)
        proba: NDArray[np.float32] = np.full((len(all_rows), k), 1 / k, np.float32)
    else:
        all_rows, votes, proba = outcome.rows, outcome.counts, outcome.proba
    given = session.answers.given()
    place = np.searchsorted(all_rows, given.rows)
    place = np.minimum(place, len(all_rows) - 1)
    has = all_rows[place] == given.rows
    looks = None if session.looks is None else session.looks[all_rows]
    order = random_order(len(session.images), session.options.seed)
    place_of = np.full(len(order), -1, np.int64)
    place_of[all_rows] = np.arange(len(all_rows))
    order = place_of[order]
    found = suggestions(
        votes,
        proba,
        looks,
        dict(zip(place[has].tolist(), given.labels[has].tolist(), strict=True)),
        n=_N_NEXT,
        random_share=N_DRAWN / _N_NEXT,
        random_state=session.options.seed,
        order=order[order >= 0],
    )
    rows, sections = [], []
    if len(asked) and session.asked is not None:
        rows.append(asked)
        title = f"{_ASKED_FOR}, round {session.asked.number}"
        why = title[0].lower() + title[1:]
        sections.append(ListSection(title, f"{len(asked)} images", len(asked), why))
    groups = [each for each in found if each.why == UNCOVERED]
    # Random ones come before the rest: who stops early has answered some of them.
    for each in sorted(found, key=lambda one: not one.is_random):
        members = all_rows[each.rows]
        members = members[~np.isin(members, asked)]
        if not len(members):
            continue
        rows.append(members)
        note = f"{len(members)} of {each.n_alike:,}" if not each.is_random else ""
        title = each.why[0].upper() + each.why[1:]
        if len(groups) > 1 and each.why == UNCOVERED:
            number = next(i for i, one in enumerate(groups, 1) if one is each)
            title += f": look-alikes {number} of {len(groups)}"
        sections.append(
            ListSection(
                title,
                note,
                len(members),
                each.why,
                each.is_random,
            )
        )
    whole = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    return ImageList(whole, tuple(sections))
