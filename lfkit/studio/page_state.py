"""What every page shows of a session, as JSON-ready values."""

from __future__ import annotations

from typing import Any

import numpy as np

from lfkit.data.labels import wilson_interval
from lfkit.studio.estimates import Estimates, estimates
from lfkit.studio.fair_answers import fair_facts, fair_labels, has_no_twin
from lfkit.studio.function_problems import Problem
from lfkit.studio.next_page import asked_rows
from lfkit.studio.outcome import FunctionFacts, Outcome
from lfkit.studio.random_sample import RandomSample, random_order, sample_so_far
from lfkit.studio.studio_session import StudioSession

_RESERVED = "u"  # undo
_KEYS = [
    *"1234567890",
    *(letter for letter in "qwertasdfgzxcvbyhnjmikolp" if letter not in _RESERVED),
]


def class_keys(names: tuple[str, ...]) -> list[str]:
    """Give each class the key that labels an image; "" where there are too many.

    >>> class_keys(("cat", "dog"))
    ['1', '2']
    >>> class_keys(("0", "1"))
    ['0', '1']
    """
    if all(len(name) == 1 and name.isdecimal() and name.isascii() for name in names):
        return [*names]
    return [_KEYS[y] if y < len(_KEYS) else "" for y in range(len(names))]


def page_state(session: StudioSession) -> dict[str, Any]:
    """Tell everything but images: functions, classes, answers, what is being done."""
    newest, shown = session.newest, session.shown
    answers = session.answers
    counts = [0] * len(session.class_names)
    if answers is not None:
        labels = answers.given().labels
        counts = np.bincount(labels, minlength=len(counts)).tolist()
    return {
        "version": session.version,
        "data": session.images.name,
        "run": str(session.options.out),
        "answers_file": str(session.options.answers),
        "n": len(session.images),
        "pictures": session.images_key,
        "side": None
        if session.images.path(0) is not None
        else max(session.images.shape[:2]),
        "classes": [*session.class_names],
        "keys": class_keys(session.class_names),
        "functions": []
        if newest is None
        else [_row(session, newest, one) for one in newest.functions],
        "left_out": {} if newest is None else dict(newest.left_out),
        "notes": [] if newest is None else [*newest.notes],
        "outside": [] if newest is None else [*newest.outside],
        "problem": _problem(session),
        "busy": dict(session.busy),
        "last_change": session.last_change,
        "saves": len(session.saves.saves),
        "answers": 0 if answers is None else len(answers),
        "answer_counts": counts,
        "labels": None if newest is None else _labels(session, newest),
        "scope": _scope(session, newest),
        "grid_scope": _scope(session, shown),
        "has_all": session.full is not None,
        "is_current": session.is_full_current,
        "has_looks": session.looks is not None,
        "estimate": estimate_sentence(session),
        "asked": _asked(session),
        "stale": _stale(session),
    }


def _stale(session: StudioSession) -> str:
    """Say that labels of all images are those of functions that have changed since."""
    share = session.voted_anew
    if share is None:
        return ""
    percent = f"{100 * share:.0f} %"
    return f"Labels of the votes before: {percent} of the images have voted anew."


def _asked(session: StudioSession) -> dict[str, int] | None:
    """Tell which round of `lfkit active` waits for answers."""
    asked = session.asked
    if asked is None:
        return None
    n_open = len(asked_rows(session))
    return {"round": asked.number, "of": len(asked.ids), "open": n_open}


def estimate_of(session: StudioSession) -> Estimates:
    """Estimate how right labels are, from the images drawn at random alone."""
    preview, answers = session.preview, session.answers
    if preview is None or answers is None or not len(preview.held_rows):
        k = max(1, len(session.class_names))
        return estimates(np.zeros((0, k)), np.zeros(0, np.int64), np.zeros(0, bool))
    given = answers.given()
    label_of = dict(zip(given.rows.tolist(), given.labels.tolist(), strict=True))
    held = preview.held_rows.tolist()
    fair = has_no_twin(preview.held_rows, session.twins)
    kept = [at for at, row in enumerate(held) if row in label_of and fair[at]]
    return estimates(
        preview.held_proba[kept],
        np.asarray([label_of[held[at]] for at in kept], np.int64),
        np.isin(preview.held_rows[kept], _sample(session).rows),
    )


def estimate_sentence(session: StudioSession) -> str:
    """Say what is estimated, and from how many answers."""
    sample = _sample(session)
    n_random = len(sample.rows)
    found = estimate_of(session)
    if found.accuracy is None:
        if not n_random:
            return (
                "No random image has been answered yet; answer some to see how right "
                "the labels are."
            )
        return (
            f"{n_random} random answer{'s' if n_random != 1 else ''} so far; a few "
            "more tell how right the labels are."
        )
    text = found.sentence()
    assert session.preview is not None, "accuracy is known of its answers"
    held = session.preview.held_rows
    twinned = held[~has_no_twin(held, session.twins)]
    if n_left_out := int(np.isin(sample.rows, twinned).sum()):
        text += f"; {n_left_out} are not counted: a near-duplicate is answered, too"
    if sample.n_open:
        text += f"; {sample.n_open} of the images drawn have no answer yet"
    return text[0].upper() + text[1:] + "."


def _sample(session: StudioSession) -> RandomSample:
    answers = session.answers
    order = random_order(len(session.images), session.options.seed)
    return sample_so_far(order, {} if answers is None else answers.why())


def _problem(session: StudioSession) -> dict[str, Any] | None:
    problem, of_answers = session.problem, session.answers_problem
    if not of_answers:
        return None if problem is None else vars(problem)
    if problem is None or problem.message in of_answers:
        problem = Problem("", "", {})
    both = f"{of_answers} {problem.message}".strip()
    return {**vars(problem), "message": both, "is_beginning": False}


def _row(
    session: StudioSession, newest: Outcome, known: FunctionFacts
) -> dict[str, Any]:
    one = fair_facts(known, newest, session.twins)
    problem = session.problem
    failing = {} if problem is None else problem.functions
    return {
        "name": one.name,
        "kind": one.kind,
        "doc": one.doc,
        "classes": [*one.classes],
        "learns": one.learns,
        "place": one.place,
        "coverage": one.coverage,
        "overlaps": one.overlaps,
        "conflicts": one.conflicts,
        "accuracy": one.accuracy,
        "interval": one.interval,
        "judged": one.judged,
        "right": one.right,
        "failed": one.failed,
        "traceback": failing.get(one.name) or one.traceback,
        "is_broken": one.name in failing,
        "trend": session.saves.coverage_of(one.name)[-30:],
    }


def _labels(session: StudioSession, outcome: Outcome) -> dict[str, Any]:
    shown = outcome.is_shown
    labels = outcome.labels[shown]
    k = len(outcome.class_names)
    right, judged = fair_labels(outcome, session.preview, session.twins)
    return {
        "labeled": int((labels >= 0).sum()),
        "of": len(labels),
        "covered": int(outcome.voted[shown].any(axis=1).sum()),
        "conflicted": int(outcome.conflicted[shown].sum()),
        "confidence": float(outcome.confidence[shown][labels >= 0].mean())
        if (labels >= 0).any()
        else None,
        "counts": np.bincount(labels[labels >= 0], minlength=k).tolist(),
        "seed_right": right,
        "seed_judged": judged,
        "interval": wilson_interval(right, judged) if judged else None,
        "chosen": outcome.chosen,
        "reason": outcome.reason,
    }


def _scope(session: StudioSession, outcome: Outcome | None) -> str:
    if outcome is None:
        return "no images yet"
    n = int(outcome.is_shown.sum())
    if n == len(session.images):
        return f"all {n:,} images"
    return f"a sample of {n:,} of {len(session.images):,} images"
