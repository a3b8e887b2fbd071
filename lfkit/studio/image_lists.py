"""Which images a page shows, and in which order."""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.errors import InputError
from lfkit.studio.outcome import Outcome
from lfkit.studio.studio_session import StudioSession

ORDERS = ("data", "unsure", "sure", "disagreement", "far", "near", "random", "alike")
ANSWERS = ("all", "answered", "open")
_UNKNOWN = 255  # instead of a confidence in percent
_MOST_SHOWN = 60
_MOST_COMPARED = 400  # hits that other images are compared with


@dataclass(frozen=True)
class ListSection:
    """Images of a list that belong together: how many, and what they are."""

    title: str
    note: str
    count: int
    why: str
    is_random: bool = False


@dataclass(frozen=True, eq=False)
class ImageList:
    """Images in order, divided into sections."""

    rows: NDArray[np.int64]
    sections: tuple[ListSection, ...]

    def to_bytes(self, session: StudioSession) -> bytes:
        """Write the list, with what tiles show, for the page's `ImageList`.

        A JSON head after its length (int32), then, for each image: row int32, label
        int16, answer int16 (-1 = none) and confidence uint8 in percent. Labels are
        places in the "classes" of the head: they may change while a page is open.
        """
        names, rows = session.class_names, self.rows
        labels, confidence, answered = labels_of(session)
        if session.class_names != names:
            raise InputError("the classes have just changed; load the page again.")
        sections = [asdict(one) for one in self.sections]
        text = json.dumps({"sections": sections, "classes": names}).encode()
        text += b" " * (-len(text) % 4)
        return b"".join(
            [
                struct.pack("<ii", len(text), len(rows)),
                text,
                rows.astype("<i4").tobytes(),
                labels[rows].astype("<i2").tobytes(),
                answered[rows].astype("<i2").tobytes(),
                confidence[rows].tobytes(),
            ]
        )


def labels_of(
    session: StudioSession,
) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]:
    """Give the label, the confidence in percent and the answer of every image.

    The label of an answered image is what it would be without the answer: whether an
    answer contradicts it is to be seen as long as it does. -1 where there is none; 255
    where the confidence is not known.
    """
    n = len(session.images)
    labels = np.full(n, -1, np.int64)
    confidence = np.full(n, _UNKNOWN, np.uint8)
    answered = np.full(n, -1, np.int64)
    outcome = session.shown
    if outcome is not None and outcome.class_names == session.class_names:
        labels[outcome.rows] = outcome.labels
        _take_answers_out(labels, outcome, session.preview)
        sure = np.rint(100 * outcome.confidence).astype(np.uint8)
        confidence[outcome.rows] = np.where(outcome.labels >= 0, sure, _UNKNOWN)
    if session.answers is not None:
        given = session.answers.given()
        answered[given.rows] = given.labels
    return labels, confidence, answered


def _take_answers_out(
    labels: NDArray[np.int64], outcome: Outcome, preview: Outcome | None
) -> None:
    """Give answered images the label that votes and the other answers give them.

    That is the label by what has not learned from the answer, where it is known, else
    the class with most votes; -1 without votes, or with a tie.
    """
    at = np.searchsorted(outcome.rows, outcome.seed_rows)
    counts = outcome.counts[at]
    most = counts.max(axis=1, initial=0)
    is_clear = (most > 0) & ((counts == most[:, None]).sum(axis=1) == 1)
    labels[outcome.seed_rows] = np.where(is_clear, counts.argmax(axis=1), -1)
    if preview is None or preview.class_names != outcome.class_names:
        return
    is_known = np.isin(preview.held_rows, outcome.seed_rows)
    labels[preview.held_rows[is_known]] = preview.held_labels[is_known]


def browse(session: StudioSession, asked: dict[str, str]) -> ImageList:
    """List all images that fit filters, in an order.

    Parameters
    ----------
    asked : "class" (its name, or "none"), "function" (its name) and "vote" (the name of
        a class, "any", "none" or "conflict"), "answers" (one of ANSWERS), "sort" (one
        of ORDERS).
    """
    n = len(session.images)
    # What a new function says of a sample comes before what it says of all images.
    outcome = session.newest if asked.get("function") else session.shown
    labels, _, answered = labels_of(session)
    shown = np.where(answered >= 0, answered, labels)
    kept = np.ones(n, bool)
    if outcome is not None and session.full is None:
        kept[:] = False
        kept[outcome.rows] = True
        kept |= answered >= 0
    if asked.get("class"):
        kept &= shown == _class(asked["class"], session)
    if asked.get("function"):
        kept &= _by_vote(outcome, asked["function"], asked.get("vote") or "any", n)
    which = asked.get("answers") or "all"
    if which not in ANSWERS:
        raise InputError(f"answers is {which!r}; choose from {', '.join(ANSWERS)}.")
    if which != "all":
        kept &= (answered >= 0) == (which == "answered")
    rows = np.flatnonzero(kept)
    order = asked.get("sort") or "data"
    if order not in ORDERS:
        raise InputError(f"sort is {order!r}; choose from {', '.join(ORDERS)}.")
    rows = _ordered(session, rows, order, shown)
    return ImageList(rows, (ListSection("", "", len(rows), "chosen"),))


def of_function(session: StudioSession, name: str) -> ImageList:
    """List what one function does: hits, misses on answers, conflicts, look-alikes."""
    outcome = session.newest
    if outcome is None or name not in outcome.names:
        raise InputError(f"there is no function {name!r}.")
    j = outcome.names.index(name)
    voted, rows = outcome.voted[:, j], outcome.rows
    rng = np.random.default_rng(0)
    wrong = outcome.seed_rows[outcome.seed_votes[:, j] == 0]
    others = voted & outcome.conflicted
    hits = rng.permutation(np.flatnonzero(voted & outcome.is_shown))
    alike = _alike(session, outcome, voted)
    parts = [
        ("Votes here", "at random", rows[hits], int((voted & outcome.is_shown).sum())),
        ("Wrong on answers", "its vote is not your answer", wrong, len(wrong)),
        (
            "In conflict",
            "other functions name another class",
            rows[rng.permutation(np.flatnonzero(others))],
            int(others.sum()),
        ),
        ("Abstains, but looks alike", "nearest to its votes", rows[alike], len(alike)),
    ]
    found, sections = [], []
    for title, note, members, total in parts:
        few = members[:_MOST_SHOWN]
        more = f"{len(few)} of {total:,}, {note}" if total > len(few) else note
        sections.append(ListSection(title, more, len(few), f"{title}: {name}"))
        found.append(few)
    return ImageList(np.concatenate(found), tuple(sections))


def some_images(session: StudioSession, rows: list[int]) -> ImageList:
    """List given images."""
    n = len(session.images)
    chosen = np.asarray(rows, np.int64)
    if len(chosen) and not (chosen.min() >= 0 and chosen.max() < n):
        raise InputError(f"images are numbered from 0 to {n - 1}.")
    return ImageList(chosen, (ListSection("", "", len(chosen), "chosen"),))


def _class(text: str, session: StudioSession) -> int:
    if text == "none":
        return -1
    names = session.class_names
    if text in names:
        return names.index(text)
    raise InputError(f"there is no class {text!r}; choose from {', '.join(names)}.")


def _by_vote(
    outcome: Outcome | None, name: str, vote: str, n: int
) -> NDArray[np.bool_]:
    """Tell on which images a function has said something, (n,)."""
    if outcome is None or name not in outcome.names:
        raise InputError(f"there is no function {name!r}.")
    j = outcome.names.index(name)
    kept = np.zeros(n, bool)
    if vote == "any":
        hit = outcome.voted[:, j]
    elif vote == "none":
        hit = ~outcome.voted[:, j]
    elif vote == "conflict":
        hit = outcome.voted[:, j] & outcome.conflicted
    elif vote in outcome.class_names:
        hit = outcome.hard[:, j] == outcome.class_names.index(vote)
    else:
        raise InputError(
            f"vote is {vote!r}; choose any, none, conflict, or the name of a class."
        )
    kept[outcome.rows[hit]] = True
    return kept


def _ordered(
    session: StudioSession,
    rows: NDArray[np.int64],
    order: str,
    shown: NDArray[np.int64],
) -> NDArray[np.int64]:
    if order == "data" or not len(rows):
        return rows
    n, outcome = len(session.images), session.shown
    if order == "random":
        drawn = np.random.default_rng(session.options.seed).permutation(n)
        return drawn[np.isin(drawn, rows)]
    if order in ("far", "near", "alike") and session.looks is None:
        return rows
    values = np.zeros(n)
    if order == "alike":
        looks = np.asarray(session.looks)
        values = looks[:, 0].astype(np.float64)
    elif order in ("far", "near"):
        values = _distance(np.asarray(session.looks), shown)
        values = -values if order == "far" else values
    elif outcome is not None:
        if order == "disagreement":
            values[outcome.rows] = -outcome.disagreement
        else:
            values[:] = 2.0
            values[outcome.rows] = np.where(
                outcome.labels >= 0, outcome.confidence, 0 if order == "unsure" else -2
            )
            if order == "sure":
                values = -values
    return rows[np.argsort(values[rows], kind="stable")]


def _distance(
    looks: NDArray[np.float32], labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Give each image's distance from the mean look of its class, (n,)."""
    found = np.zeros(len(looks))
    for label in np.unique(labels):
        members = labels == label
        mean = looks[members].mean(axis=0)
        found[members] = np.linalg.norm(looks[members] - mean, axis=1)
    return found


def _alike(
    session: StudioSession, outcome: Outcome, voted: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Find images without a function's vote that look most like those with one."""
    if session.looks is None or not voted.any() or voted.all():
        return np.zeros(0, np.int64)
    looks = session.looks[outcome.rows]
    hits = np.flatnonzero(voted)
    hits = np.random.default_rng(0).permutation(hits)[:_MOST_COMPARED]
    quiet = np.flatnonzero(~voted & outcome.is_shown)
    nearest = np.full(len(quiet), np.inf)
    squares = (looks**2).sum(axis=1)
    for start in range(0, len(quiet), 4096):
        part = quiet[start : start + 4096]
        far = squares[part, None] + squares[hits] - 2 * looks[part] @ looks[hits].T
        nearest[start : start + 4096] = far.min(axis=1)
    return quiet[np.argsort(nearest, kind="stable")][:_MOST_SHOWN]


def details(session: StudioSession, row: int) -> dict[str, Any]:
    """Tell all that is known of one image: label, votes, near-duplicates."""
    n = len(session.images)
    if not 0 <= row < n:
        raise InputError(f"images are numbered from 0 to {n - 1}.")
    labels, confidence, answered = labels_of(session)
    found: dict[str, Any] = {
        "row": row,
        "id": session.images.ids[row],
        "label": int(labels[row]),
        "confidence": None if confidence[row] == _UNKNOWN else int(confidence[row]),
        "answer": int(answered[row]),
        "problem": session.images.known_problems.get(row, ""),
        "votes": [],
        "proba": [],
        "twins": [],
    }
    outcome = session.newest if session.full is None else session.full
    if outcome is not None:
        at = int(np.searchsorted(outcome.rows, row))
        if at < len(outcome.rows) and outcome.rows[at] == row:
            found["proba"] = [round(float(p), 4) for p in outcome.proba[at]]
            found["votes"] = [
                {"function": one.name, "vote": int(outcome.hard[at, j])}
                for j, one in enumerate(outcome.functions)
                if outcome.voted[at, j]
            ]
    if session.twins is not None:
        same = np.flatnonzero(session.twins == session.twins[row])
        found["twins"] = same[same != row][:50].tolist()
    return found
