"""Why functions do not run, in a sentence and with their traceback."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from lfkit.studio.outcome import Outcome
from lfkit.studio.voting_process import Message

# What is shown where there is no function yet.
_BEGINNING = """\
from lfkit import ABSTAIN, labeling_function

CLASSES = {names}  # images can be labeled as soon as this is saved


@labeling_function(classes=[1])
def dark_is_{last}(image):
    # An example: write here what tells your classes apart.
    # image: (height, width, colors), each number from 0 to 255.
    return 1 if image.mean() < 60 else ABSTAIN
"""


@dataclass(frozen=True)
class Problem:
    """Why the functions as they are saved now do not run.

    Attributes
    ----------
    message : one sentence.
    traceback : of the user's code, "" where there is none.
    functions : name → traceback, if it is single functions that fail.
    is_beginning : there is no function yet; `traceback` holds one to begin with.
    """

    message: str
    traceback: str
    functions: dict[str, str]
    is_beginning: bool = False


def broken_functions(outcome: Outcome, before: Sequence[str]) -> dict[str, str]:
    """Name the functions that fail wherever they are called, and where or why.

    Parameters
    ----------
    before : names of functions that ran in the last version.
    """
    found = {
        one.name: one.traceback
        for one in outcome.functions
        if one.failed and one.coverage == 0
    }
    lost = {
        name: why
        for name, why in outcome.left_out.items()
        if name in before and not why.startswith("needs seed")
    }
    return {**found, **lost, **outcome.tracebacks}


def problem_of(found: Message) -> Problem:
    """Say why a job that votes has given nothing, from its last message."""
    if found["event"] == "failed":
        text, trace = found["message"], found["traceback"]
        if "defines no labeling function" in text or "there is no file" in text:
            text = "There is no labeling function yet. Save one in your file, such as"
            names = found.get("class_names") or ["day", "night"]
            word = "".join(c if c.isalnum() else "_" for c in (*names, "it")[1])
            first = _BEGINNING.format(names=json.dumps(names), last=word)
            return Problem(text, first, {}, is_beginning=True)
        return Problem(text, trace, {})
    if found["why"] == "hangs":
        text = "the functions do not end: look for an endless loop as they are read."
    else:
        code = found.get("code", 0)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        text = f"the functions ended the process that runs them ({how})."
    return Problem(text, "", {})
